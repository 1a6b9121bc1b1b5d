"""Relay one request: check, reserve, ask an upstream, pass its answer on, record what it cost.

Nothing is written anywhere before the first byte; what happens at each interruption is the table in the
service's README.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from chat_relay.domain import headers as header_rules
from chat_relay.domain import metering
from chat_relay.domain.channels import Target
from chat_relay.domain.errors import (
    ModelNotAllowedError,
    UpstreamAuthError,
    UpstreamGoneError,
    UpstreamTimeoutError,
)
from chat_relay.domain.estimates import answer_tokens, input_bound, is_plain_text
from chat_relay.domain.metering import Usage
from chat_relay.domain.ports import Answer, Client, RawHeaders, Upstream
from chat_relay.domain.prices import ModelPrice, Prices, Quote, final_rate
from chat_relay.domain.requests import PARSERS, Operation, RelayRequest
from chat_relay.usecases.channels import Channels
from chat_relay.usecases.exchanges import Exchange, Ledgers
from chat_relay.usecases.leases import Leases
from chat_relay.usecases.streams import relay_stream
from common.contracts.errors import (
    ModelNotFoundError,
    RateLimitedError,
    ServiceError,
    UnavailableError,
    UpstreamError,
)
from common.contracts.principals import Principal
from common.contracts.usage import Outcome

_LOG = logging.getLogger(__name__)
MAX_ANSWER_BYTES = 64 * 2**20
_SHORT_S = 0.01  # nobody leaves within it, and asking costs as much as parsing the request
_PATHS: dict[Operation, str] = {"chat": "/chat/completions", "embeddings": "/embeddings"}


class Inbound(NamedTuple):
    """A request as it came in: `headers` raw, `query` without its question mark."""

    operation: Operation
    principal: Principal
    headers: Iterable[tuple[bytes, bytes]]
    query: str
    body: bytes


class Whole(NamedTuple):
    """An answer that was read to its end. `usage` is None when it gives none."""

    status: int
    headers: RawHeaders
    body: bytes
    usage: Usage | None


class Relay:
    """The relay of one replica."""

    def __init__(
        self,
        channels: Channels,
        prices: Prices,
        leases: Leases,
        ledgers: Ledgers,
        upstream: Upstream,
        attempts: int,
    ) -> None:
        self._channels = channels
        self._prices = prices
        self._leases = leases
        self._ledgers = ledgers
        self._upstream = upstream
        self._attempts = attempts

    async def answer(self, inbound: Inbound, client: Client) -> Outcome:
        """Answer `client`, and say how it went; raises ServiceError only while nothing was sent."""
        request = PARSERS[inbound.operation](inbound.body)
        now_ms = time.time_ns() // 1_000_000
        price = self._price(inbound.principal, request.model, now_ms)
        exchange = await self._begin(inbound.principal, request, price, now_ms)
        try:
            if request.stream:
                await self._answer_stream(exchange, inbound, client)
            else:
                opened = await self._open(exchange, inbound)
                if isinstance(opened, Whole):
                    await _deliver(exchange, opened, client)
        except ServiceError as error:
            outcome: Outcome = "upstream_error" if isinstance(error, UpstreamError) else "relay_error"
            exchange.record(outcome, error.error_status, {})
            raise
        finally:
            exchange.record("relay_error", 500, {})
        return exchange.outcome

    def _price(self, principal: Principal, model: str, now_ms: int) -> ModelPrice:
        if not principal.allows_model(model):
            raise ModelNotAllowedError(f"This key may not use the model '{model}'.", param="model")
        price = self._prices.of(model, now_ms)
        if price is None or not self._channels.table.serves(model, principal.group):
            raise ModelNotFoundError(
                f"The model '{model}' does not exist or you do not have access to it.", param="model"
            )
        return price

    async def _begin(
        self, principal: Principal, request: RelayRequest, price: ModelPrice, now_ms: int
    ) -> Exchange:
        if self._ledgers.usage.full:
            raise UnavailableError("Usage cannot be stored for the moment.", retry_after_s=2)
        admitted = self._admit(principal, request)
        body = request.body
        tokens_in = input_bound(body, price.context_window)
        ceiling = price.ceiling(tokens_in)
        multipliers = self._prices.multipliers_of(principal.group, request.model, price, now_ms)
        rate = final_rate(principal.rate_micro, multipliers)
        tokens_out = 0
        if request.operation == "chat":
            tokens_out = metering.output_limit(request.output_limit, price) * request.choices
        mixed = ceiling.any_input_pico > ceiling.input_pico and not is_plain_text(body)
        need = metering.hold_nano(ceiling, rate, tokens_in, tokens_out, any_input=mixed)
        minimum = 0
        if request.stream:
            least = min(tokens_out, metering.MINIMUM_OUTPUT_TOKENS)
            minimum = metering.hold_nano(ceiling, rate, tokens_in, least, any_input=mixed)
        reservation = await self._leases.reserve(principal, need, minimum)
        quote = Quote(price, ceiling, principal.rate_micro, multipliers, rate, now_ms)
        exchange = Exchange(principal, request, quote, reservation, self._ledgers)
        exchange.admitted_tokens = admitted
        exchange.input_hold_nano = metering.hold_nano(ceiling, rate, tokens_in, 0, any_input=mixed)
        unlimited = request.output_limit is None and price.max_output is None
        exchange.may_grow = request.stream and (unlimited or reservation.amount_nano < need)
        return exchange

    def _admit(self, principal: Principal, request: RelayRequest) -> int:
        tpm = principal.limits.tpm
        if tpm is None:
            return 0
        tokens = len(request.body) // 4
        wait_s = self._ledgers.limits.take(principal.spender, tpm, tokens, time.monotonic())
        if wait_s:
            raise RateLimitedError(f"This key is limited to {tpm} tokens per minute.", retry_after_s=wait_s)
        return tokens

    async def _answer_stream(self, exchange: Exchange, inbound: Inbound, client: Client) -> None:
        """Watch the client from here on: when it leaves, the upstream is cancelled, even unanswered."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a coroutine that runs is in a task
        client.watch(task.cancel)
        try:
            opened = await self._open(exchange, inbound)
            if isinstance(opened, Whole):
                client.unwatch()
                await _deliver(exchange, opened, client)
            else:
                await relay_stream(exchange, opened, client, self._leases)
        except asyncio.CancelledError:
            status = 200 if client.started else 499
            if not client.gone:
                exchange.record_estimate("relay_error", status, 0, partial=True)
                raise
            task.uncancel()
            exchange.record_estimate("client_gone", status, 0, partial=True)
        finally:
            client.unwatch()

    async def _open(self, exchange: Exchange, inbound: Inbound) -> Whole | Answer:
        """An answer worth passing on, from the first channel that gives one."""
        request, group = exchange.request, exchange.principal.group
        failure: ServiceError | None = None
        limited: Whole | None = None
        tried: list[Target] = []
        while len(tried) < self._attempts:
            target = self._channels.table.choose(request.model, group, tried)
            if target is None:
                break
            tried.append(target)
            exchange.target = target
            try:
                opened = await self._attempt(exchange, target, inbound)
            except UpstreamTimeoutError:
                raise  # it may be working still: asking another would pay twice
            except UpstreamError as error:
                _LOG.warning("channel %s failed: %s", target.name, error.message)
                failure = error
                continue
            if isinstance(opened, Whole) and opened.status == 429:
                limited = opened
                continue
            return opened
        if limited is not None:
            return limited
        raise failure or ModelNotFoundError(f"The model '{request.model}' has no channel left.")

    async def _attempt(self, exchange: Exchange, target: Target, inbound: Inbound) -> Whole | Answer:
        request = exchange.request
        url = target.base_url + _PATHS[request.operation]
        if inbound.query:
            url = f"{url}?{inbound.query}"
        answer = await self._upstream.post(
            url,
            header_rules.forwarded(inbound.headers, exchange.principal.request_id, target.next_key()),
            request.upstream_body(target.upstream_model(request.model)),
        )
        status = answer.status
        if request.stream and status == 200:
            kind = header_rules.content_type(answer.headers)
            if kind == b"text/event-stream":
                return answer
        body = await answer.read_all(MAX_ANSWER_BYTES)
        _refuse_failure(status, answer.headers)
        return Whole(status, answer.headers, body, _usage(body) if status < 300 else None)


def _refuse_failure(status: int, headers: RawHeaders) -> None:
    if status in {401, 402, 403}:
        raise UpstreamAuthError(f"The upstream refused the channel's account (status {status}).")
    if status < 300 or 400 <= status < 500:
        return
    retry_after = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    raise UpstreamError(
        f"The upstream failed (status {status}).",
        status={503: 503, 504: 504, 529: 503}.get(status, 502),
        retry_after_s=int(retry_after) if retry_after.isdigit() and len(retry_after) < 6 else None,
    )


def _usage(body: bytes) -> Usage | None:
    try:
        return metering.usage_of(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamGoneError("The upstream sent something that is not JSON.") from None


async def _deliver(exchange: Exchange, whole: Whole, client: Client) -> None:
    """Record, then send. A client that left meanwhile is charged all the same: the work was done for it."""
    gone = exchange.elapsed_s() > _SHORT_S and client.has_left()
    outcome: Outcome = "client_gone" if gone else "ok"
    exchange.mark_first_byte()
    if whole.status >= 300:
        exchange.record("upstream_error", whole.status, {})
    elif whole.usage is None:
        exchange.record_estimate(outcome, whole.status, answer_tokens(whole.body))
    else:
        exchange.record(outcome, whole.status, metering.quantities_of(whole.usage, exchange.price))
    if not gone:
        request_id = exchange.principal.request_id.encode()
        passed = header_rules.returned(whole.headers, request_id)
        passed.append((b"content-length", b"%d" % len(whole.body)))
        await client.start(whole.status, passed)
        await client.finish(whole.body)
