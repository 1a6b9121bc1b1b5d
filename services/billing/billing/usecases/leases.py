"""Grant, close and expire leases."""

import logging
from asyncio import Future
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from billing.domain.leases import (
    CloseLease,
    ExpireLeases,
    RequestLease,
    check_lease_close,
    check_lease_request,
)
from billing.domain.ports import Clock, LeaseKeeper, UsageBacklog, Writer
from common.contracts.errors import ServiceError
from common.contracts.leases import (
    LeaseCalls,
    LeaseClose,
    LeaseClosed,
    LeaseGrant,
    LeaseOutcome,
    LeaseOutcomes,
    LeaseRequest,
)
from common.contracts.rpc import RpcError

_LOG = logging.getLogger(__name__)
_SWEEP_LIMIT = 500
_OWNERS_KEPT = 20_000
CallT = TypeVar("CallT")


class Leases:
    """The lease calls, for the RPC server."""

    def __init__(self, writer: Writer, ttl_s: float) -> None:
        self._writer = writer
        self._ttl_s = ttl_s
        self._owners: dict[str, str] = {}  # of leases opened here, so that their closing finds its lane

    def request_lease(self, request: LeaseRequest) -> Awaitable[LeaseGrant]:
        """Grant what fits; LeaseExpiredError, StaleSequenceError, ConflictError, InvalidRequestError."""
        check_lease_request(request)
        self._owners[request.lease] = request.account
        if len(self._owners) > _OWNERS_KEPT:
            del self._owners[next(iter(self._owners))]
        return self._writer.submit(RequestLease(request, self._ttl_s), request.account)

    def close_lease(self, request: LeaseClose) -> Awaitable[LeaseClosed]:
        """Take back what is not spent; LeaseExpiredError, StaleSequenceError, InvalidRequestError."""
        check_lease_close(request)
        return self._writer.submit(CloseLease(request, self._ttl_s), self._owners.pop(request.lease, ""))

    async def decide_calls(self, calls: LeaseCalls) -> LeaseOutcomes:
        """Each as if it had come alone, its refusal included; they wait for the same commit."""
        begun = [_begun(self.request_lease, request) for request in calls.requests]
        begun += [_begun(self.close_lease, close) for close in calls.closes]
        outcomes: list[LeaseOutcome] = []
        try:
            # One after the other: most are decided when the first is, and gathering them would cost more.
            for call in begun:
                outcomes.append(await _outcome(call))  # noqa: PERF401  `finally` counts them
        finally:
            for call in begun[len(outcomes) :]:
                if isinstance(call, Future):
                    call.cancel()
        return LeaseOutcomes(tuple(outcomes))


def _begun(call: Callable[[CallT], Awaitable[Any]], request: CallT) -> Awaitable[Any] | ServiceError:
    try:
        return call(request)
    except ServiceError as error:
        return error


async def _outcome(call: Awaitable[Any] | ServiceError) -> LeaseOutcome:
    try:
        decided = call if isinstance(call, ServiceError) else await call
    except ServiceError as error:
        decided = error
    if isinstance(decided, LeaseGrant):
        return LeaseOutcome(granted=decided)
    if isinstance(decided, LeaseClosed):
        return LeaseOutcome(closed=decided)
    return LeaseOutcome(refused=RpcError.of(decided))


class LeaseSweeper:
    """Expires leases once the usage that was published in their time is charged.

    At a moment T the stream's last sequence is noted; when the consumer has passed it, everything published
    before T is charged, and leases that had expired by T can give back the rest: a backlog after an outage
    never makes timely usage late. `grace_s` after its time a lease is expired all the same, unless the
    stream cannot even be asked.
    """

    def __init__(
        self, writer: Writer, keeper: LeaseKeeper, backlog: UsageBacklog, clock: Clock, grace_s: float
    ) -> None:
        self._writer = writer
        self._keeper = keeper
        self._backlog = backlog
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)
        self._marked_at: datetime | None = None
        self._mark = 0

    async def sweep(self) -> int:
        """Expire what may be expired now; the number of leases. ServiceError when a part is away."""
        now = self._clock()
        if self._marked_at is None:
            if not await self._keeper.due(now, 1):
                return 0
            self._marked_at, self._mark = now, await self._backlog.last()
        if not await self._backlog.applied(self._mark):
            return await self._expire(now - self._grace)
        cutoff, self._marked_at = self._marked_at, None
        return await self._expire(cutoff)

    async def _expire(self, cutoff: datetime) -> int:
        expired = 0
        while due := await self._keeper.due(cutoff, _SWEEP_LIMIT):
            done: int = await self._writer.submit(ExpireLeases(due, cutoff))
            expired += done
            if done == 0:
                break  # another replica was faster; what it left is due the next time
        return expired


async def sweep_leases(sweeper: LeaseSweeper) -> None:
    """One round; a part that is away is told and waited for."""
    try:
        expired = await sweeper.sweep()
    except ServiceError as error:
        _LOG.warning("leases: not swept: %s", error.message)
        return
    if expired:
        _LOG.info("leases: %d expired", expired)
