"""Open, extend, capture, void, refund and expire holds, and show them."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta

from billing.domain.captures import CaptureHold, ChargeHold, RefundHold
from billing.domain.errors import HoldNotFoundError, MoneyRecalledError
from billing.domain.hold_checks import (
    check_capture,
    check_charge,
    check_extend,
    check_open,
    check_refund,
    check_void,
)
from billing.domain.holds import ExpireHolds, ExtendHold, Hold, OpenHold, State, VoidHold
from billing.domain.ports import Clock, HoldKeeper, HoldReader, Writer
from billing.domain.statements import Position
from common.contracts.errors import ServiceError
from common.contracts.holds import (
    HoldCapture,
    HoldCharge,
    HoldCharges,
    HoldExtend,
    HoldOpen,
    HoldOutcome,
    HoldOutcomes,
    HoldRefund,
    HoldState,
    HoldVoid,
)
from common.contracts.rpc import RpcError

_LOG = logging.getLogger(__name__)
Reservation = OpenHold | ExtendHold | ChargeHold
_SWEEP_LIMIT = 500
_RECALL_ATTEMPTS = 6
_RECALL_PAUSE_S = 0.05
"""Together a little more than the grace that a recall is given."""


class Holds:
    """The calls, for the RPC server; errors as contracts.holds has them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def open_hold(self, request: HoldOpen) -> HoldState:
        """Set money aside; relays are given a moment to return what they have idle."""
        check_open(request)
        return await self._reserve(OpenHold(request), OpenHold(request, waits=False))

    async def charge_hold(self, request: HoldCharge) -> HoldState:
        """Set aside and take in one decision."""
        check_charge(request)
        return await self._reserve(ChargeHold(request), ChargeHold(request, waits=False))

    async def charge_holds(self, request: HoldCharges) -> HoldOutcomes:
        """Each by itself, its refusal included; they wait for the same commit."""
        decided = await asyncio.gather(*map(self._begun, request.charges), return_exceptions=True)
        return HoldOutcomes(tuple(map(_outcome, decided)))

    async def extend_hold(self, request: HoldExtend) -> HoldState:
        """More money, or more time."""
        check_extend(request)
        return await self._reserve(ExtendHold(request), ExtendHold(request, waits=False))

    async def capture_hold(self, request: HoldCapture) -> HoldState:
        """Take it, or a part, and release the rest."""
        check_capture(request)
        state: HoldState = await self._writer.submit(CaptureHold(request))
        return state

    async def void_hold(self, request: HoldVoid) -> HoldState:
        """Give it back."""
        check_void(request)
        state: HoldState = await self._writer.submit(VoidHold(request))
        return state

    async def refund_hold(self, request: HoldRefund) -> HoldState:
        """Give back what was captured, or a part."""
        check_refund(request)
        state: HoldState = await self._writer.submit(RefundHold(request))
        return state

    def _begun(self, request: HoldCharge) -> Awaitable[HoldState]:
        try:
            check_charge(request)
        except ServiceError as error:
            refused: asyncio.Future[HoldState] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused
        return self._writer.submit(ChargeHold(request))

    async def _reserve(self, patient: Reservation, final: Reservation) -> HoldState:
        state: HoldState
        for _ in range(_RECALL_ATTEMPTS):
            try:
                state = await self._writer.submit(patient)
            except MoneyRecalledError:
                await asyncio.sleep(_RECALL_PAUSE_S)
            else:
                return state
        state = await self._writer.submit(final)
        return state


def _outcome(decided: HoldState | BaseException) -> HoldOutcome:
    if isinstance(decided, HoldState):
        return HoldOutcome(decided)
    if isinstance(decided, MoneyRecalledError):
        return HoldOutcome()
    if isinstance(decided, ServiceError):
        return HoldOutcome(refused=RpcError.of(decided))
    raise decided


class HoldSweeper:
    """Returns the money of holds that nobody resolved in their time, in the order in which they expire."""

    def __init__(self, writer: Writer, keeper: HoldKeeper, clock: Clock) -> None:
        self._writer = writer
        self._keeper = keeper
        self._clock = clock

    async def sweep(self) -> int:
        """Expire what is due now; the number of holds. ServiceError when the ledger is away."""
        expired = 0
        while due := await self._keeper.due(self._clock(), _SWEEP_LIMIT):
            done: int = await self._writer.submit(ExpireHolds(due))
            expired += done
            if done == 0:
                break  # another replica was faster; what it left is due the next time
        return expired

    async def forget(self, days: int) -> None:
        """Drop what is older than `days` and can no longer be asked for; see HoldKeeper.prune."""
        await self._keeper.prune(self._clock() - timedelta(days=days))


async def sweep_holds(sweeper: HoldSweeper) -> None:
    """One round; a ledger that is away is told and waited for."""
    try:
        expired = await sweeper.sweep()
    except ServiceError as error:
        _LOG.warning("holds: not swept: %s", error.message)
        return
    if expired:
        _LOG.info("holds: %d expired", expired)


async def list_holds(
    reader: HoldReader, account: str | None, state: State | None, after: Position, limit: int
) -> list[Hold]:
    """The account's holds after a position, or everybody's, newest first."""
    return await reader.newest(account, state, after, limit)


async def find_hold(reader: HoldReader, hold: str, account: str | None) -> Hold:
    """One hold; HoldNotFoundError when there is none or it is not `account`'s (None may see all)."""
    found = await reader.find(hold)
    if found is None or account not in (None, found.account):
        raise HoldNotFoundError("There is no such hold.")
    return found
