"""What the relay says over NATS: lease calls, usage batches, channel notices; and the price book it hears."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.js.kv import KeyValue

from common.contracts.errors import UnavailableError
from common.contracts.leases import (
    LEASE_CALLS,
    LEASE_CLOSE,
    LEASE_REQUEST,
    LeaseCalls,
    LeaseClose,
    LeaseClosed,
    LeaseGrant,
    LeaseOutcome,
    LeaseRequest,
)
from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, PriceBook
from common.contracts.rpc import RpcError
from common.contracts.streams import CHANNELS_CHANGED, intake_subject
from common.kit.bus import Bus
from common.kit.rpc import RpcClient

_LOG = logging.getLogger(__name__)
_MAX_TOGETHER = 256
_FEW_NEEDS = 64
_PRICES_RETRY_S = 0.5
_PRICES_REREAD_S = 10
_STORE_TIMEOUT_S = 1.0
"""An acknowledgement that is not here by then was lost with its connection; the broker knows the id again."""

AnswerT = TypeVar("AnswerT", LeaseGrant, LeaseClosed)


class NatsBilling:
    """Billing's lease calls. Those of one turn of the event loop travel in one message."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._requests: list[tuple[LeaseRequest, asyncio.Future[LeaseGrant]]] = []
        self._closes: list[tuple[LeaseClose, asyncio.Future[LeaseClosed]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def request_lease(self, request: LeaseRequest) -> LeaseGrant:
        """See `Billing`."""
        if len(request.needs_nano) > _FEW_NEEDS:  # as large as many others together
            return await self._rpc.call(LEASE_REQUEST, request)
        answer: asyncio.Future[LeaseGrant] = asyncio.get_running_loop().create_future()
        self._depart()
        self._requests.append((request, answer))
        return await answer

    async def close_lease(self, request: LeaseClose) -> LeaseClosed:
        """See `Billing`."""
        answer: asyncio.Future[LeaseClosed] = asyncio.get_running_loop().create_future()
        self._depart()
        self._closes.append((request, answer))
        return await answer

    def _depart(self) -> None:
        """Have what waits sent after all that call in this turn; called before the first is in its list."""
        if len(self._requests) + len(self._closes) in {0, _MAX_TOGETHER}:
            self._requests, self._closes = [], []
            task = asyncio.create_task(self._send(self._requests, self._closes))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(
        self,
        requests: list[tuple[LeaseRequest, asyncio.Future[LeaseGrant]]],
        closes: list[tuple[LeaseClose, asyncio.Future[LeaseClosed]]],
    ) -> None:
        if requests is self._requests:
            self._requests, self._closes = [], []
        try:
            for place, outcome in enumerate(await self._ask(requests, closes)):
                if place < len(requests):
                    _settle(requests[place][1], outcome.granted, outcome)
                else:
                    _settle(closes[place - len(requests)][1], outcome.closed, outcome)
        except Exception as error:  # noqa: BLE001  whatever failed, those who wait are told
            for _, granted in requests:
                if not granted.done():
                    granted.set_exception(error)
            for _, closed in closes:
                if not closed.done():
                    closed.set_exception(error)

    async def _ask(
        self,
        requests: list[tuple[LeaseRequest, asyncio.Future[LeaseGrant]]],
        closes: list[tuple[LeaseClose, asyncio.Future[LeaseClosed]]],
    ) -> Sequence[LeaseOutcome]:
        if not closes and len(requests) == 1:
            return [LeaseOutcome(granted=await self._rpc.call(LEASE_REQUEST, requests[0][0]))]
        if not requests and len(closes) == 1:
            return [LeaseOutcome(closed=await self._rpc.call(LEASE_CLOSE, closes[0][0]))]
        calls = LeaseCalls(tuple(call for call, _ in requests), tuple(call for call, _ in closes))
        return (await self._rpc.call(LEASE_CALLS, calls)).outcomes


def _settle(answer: asyncio.Future[AnswerT], given: AnswerT | None, outcome: LeaseOutcome) -> None:
    if answer.done():  # nobody waits any more
        return
    if given is not None:
        answer.set_result(given)
    else:
        answer.set_exception((outcome.refused or RpcError("internal_error", "No answer.")).as_error())


class NatsUsageSink:
    """Usage batches into the INTAKE stream."""

    def __init__(self, bus: Bus, replica: str) -> None:
        self._bus = bus
        self._subject = intake_subject(replica)

    async def store(self, batch_id: str, batch: bytes) -> None:
        """See `UsageSink`. A broker that is known to be away is not written to: the client would keep the
        message and send it late, beside the one that is sent again.
        """
        if not self._bus.client.is_connected:
            raise UnavailableError("NATS is not connected.")
        await self._bus.publish(self._subject, batch, {"Nats-Msg-Id": batch_id}, _STORE_TIMEOUT_S)


class NatsChannelNotices:
    """Core notices between replicas."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def channels_changed(self) -> None:
        """See `ChannelNotices`."""
        try:
            await self._bus.client.publish(CHANNELS_CHANGED, b"")
        except (NatsError, OSError) as error:
            _LOG.warning("the channel notice was not sent: %r", error)


class NatsPriceFeed:
    """Follows the price book in NATS KV; what was loaded stays in force while the broker is away."""

    def __init__(self, bus: Bus, load: Callable[[PriceBook], None]) -> None:
        self._bus = bus
        self._load = load
        self._decoder = msgspec.msgpack.Decoder(PriceBook)
        self._loaded = b""

    async def run(self) -> None:
        """For ever: watch, and read again now and then, since a watch can be lost with its broker."""
        while True:
            try:
                async with asyncio.timeout(_PRICES_REREAD_S):
                    bucket = await self._bus.jetstream.key_value(PRICES_BUCKET)
                    watcher = await bucket.watch(PRICES_KEY)
                try:
                    await self._follow(bucket, watcher)
                finally:
                    await watcher.stop()  # type: ignore[no-untyped-call]
            except (NatsError, TimeoutError, OSError) as error:
                _LOG.info("no price book yet: %r", error)
            except Exception:  # noqa: BLE001  whatever it is, a feed that ends silently is worse
                _LOG.exception("the price book cannot be used")
            await asyncio.sleep(_PRICES_RETRY_S)  # nothing signals that the bucket was made or is back

    async def _follow(self, bucket: KeyValue, watcher: KeyValue.KeyWatcher) -> None:
        while True:
            try:
                entry = await watcher.updates(timeout=_PRICES_REREAD_S)  # type: ignore[no-untyped-call]
            except TimeoutError:
                entry = await bucket.get(PRICES_KEY)
            # The same book again is not read: it takes milliseconds, in which nothing is relayed.
            if isinstance(entry, KeyValue.Entry) and entry.value and entry.value != self._loaded:
                self._load(self._decoder.decode(entry.value))
                self._loaded = entry.value
