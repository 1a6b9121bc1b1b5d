"""Pass a chat stream on, frame by frame, and end it truthfully.

A truncated answer is never reported as complete: it ends with an error frame and without `[DONE]`.
"""

import asyncio

from chat_relay.domain import headers as header_rules
from chat_relay.domain import metering
from chat_relay.domain.errors import UpstreamGoneError
from chat_relay.domain.frames import ChatFrames
from chat_relay.domain.ports import Answer, Client
from chat_relay.usecases.exchanges import Exchange
from chat_relay.usecases.growth import Growth
from chat_relay.usecases.leases import Leases
from common.contracts.errors import ServiceError, UpstreamError
from common.contracts.usage import Outcome
from common.kit.errors import error_body


async def relay_stream(exchange: Exchange, answer: Answer, client: Client, leases: Leases) -> None:
    """Relay until the upstream's end, its death, the client's leaving (CancelledError) or the money's end."""
    request = exchange.request
    frames = ChatFrames(keep_usage=request.wants_usage, choices=request.choices)
    growth = Growth(leases, exchange) if exchange.may_grow else None
    failure: ServiceError | None = None
    try:
        request_id = exchange.principal.request_id.encode()
        await client.start(200, header_rules.returned(answer.headers, request_id))
        try:
            failure = await _pump(exchange, frames, answer, client, growth)
        except UpstreamError as error:
            failure = error
        if growth is not None:
            await growth.stop()
    except asyncio.CancelledError:
        answer.abort()
        outcome: Outcome = "client_gone" if client.gone else "relay_error"
        exchange.record_estimate(outcome, 200, frames.output_tokens(), partial=True)
        raise
    last = _settle(exchange, frames, failure)
    client.unwatch()
    await client.finish(last)
    if frames.done and failure is None:
        await answer.finish()
    else:
        answer.abort()


async def _pump(
    exchange: Exchange, frames: ChatFrames, answer: Answer, client: Client, growth: Growth | None
) -> ServiceError | None:
    """Deliver until the end; the reason when the money ended first."""
    read, feed, write = answer.read, frames.feed, client.write
    while not (frames.done or frames.failed):
        data = await read()
        block = feed(data) if data else frames.finish()
        if block:
            if exchange.first_byte_ms is None:
                exchange.mark_first_byte()
            await write(block)
        if not data:
            return None
        if growth is not None:
            error = growth.check(frames)
            if error is not None:
                return error
    return None


def _settle(exchange: Exchange, frames: ChatFrames, failure: ServiceError | None) -> bytes:
    """Record what the stream came to; the bytes that tell the client if it is not the whole answer."""
    if failure is not None and not isinstance(failure, UpstreamError):
        exchange.record_estimate("quota_exhausted", 200, frames.output_tokens(), partial=True)
        return _error_frame(exchange, failure)
    if frames.complete:
        if frames.usage is None:
            exchange.record_estimate("ok", 200, frames.output_tokens())
        else:
            exchange.record("ok", 200, metering.quantities_of(frames.usage, exchange.price))
        return b""
    exchange.record_estimate("upstream_gone", 200, frames.output_tokens(), partial=True)
    if frames.failed:
        return b""  # the upstream's own error frame was passed on
    return _error_frame(exchange, failure or UpstreamGoneError("The upstream ended before its answer did."))


def _error_frame(exchange: Exchange, error: ServiceError) -> bytes:
    return b"data: " + error_body("openai", error, exchange.principal.request_id) + b"\n\n"
