"""Reserve, extend and settle money in memory, and keep billing's leases behind it.

One purse per (account, spender). Reserving from a lease with free money is a few additions; only when it does
not suffice does a request wait, and all who wait are asked for in one call.
"""

import asyncio
import logging
import random
from collections.abc import Callable

from chat_relay.domain.leases import AHEAD_SHARE, MAX_NEEDS, Lease, Reservation, shortfalls
from chat_relay.domain.ports import Billing
from chat_relay.usecases.purses import Purse, Waiter, most_at_once, shortage, too_much_at_once
from common.contracts.errors import DeadlineError, ServiceError, UnavailableError
from common.contracts.leases import LeaseClose, LeaseGrant, LeaseRequest
from common.contracts.principals import Principal
from common.kit.ids import uuid7

_LOG = logging.getLogger(__name__)
_ASK_ATTEMPTS = 2  # of 2 s each: enough for a database that restarts, and nobody waits longer
_RECALL_ATTEMPTS = 5
_CLOSE_ATTEMPTS = 5
_AHEAD_PAUSE_S = 0.25
_RETRY_AFTER_S = 2.0


class Leases:
    """All purses of this replica. `clock` is monotonic seconds; `idle_s` is how long unused money is kept."""

    def __init__(self, billing: Billing, replica: str, clock: Callable[[], float], idle_s: float) -> None:
        self._billing = billing
        self._replica = replica
        self._clock = clock
        self._idle_s = idle_s
        self._accounts: dict[str, dict[str, Purse]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def reserve(self, principal: Principal, need_nano: int, minimum_nano: int = 0) -> Reservation:
        """Money for one request, whole; at least `minimum_nano` of it when that is given and nothing else is
        open. Raises InsufficientQuotaError, BudgetExceededError, MaxChargeError, or UnavailableError while
        billing is away.
        """
        if need_nano <= 0:
            return Reservation(None, 0, lambda _cost_nano: None)
        if need_nano > most_at_once(principal):
            raise too_much_at_once(need_nano, most_at_once(principal))
        purse = self._purse(principal)
        return self._from_lease(purse, need_nano) or await self._wait(purse, need_nano, minimum_nano, own=0)

    async def extend(
        self, principal: Principal, reservation: Reservation, more_nano: int, minimum_nano: int
    ) -> None:
        """Add up to `more_nano` (at least `minimum_nano`) to a reservation; errors as `reserve`. When its
        lease was retired meanwhile, the whole reservation moves to the spender's present lease.
        """
        purse = self._purse(principal)
        old = reservation.lease
        if old is None:
            return
        most_nano = most_at_once(principal) - reservation.amount_nano
        if most_nano < max(1, minimum_nano):
            raise too_much_at_once(reservation.amount_nano + more_nano, most_at_once(principal))
        more_nano = min(more_nano, most_nano)
        moving = old.retired
        need = more_nano + reservation.amount_nano if moving else more_nano
        minimum_nano = 0 if moving else minimum_nano
        extra = self._from_lease(purse, need) or await self._wait(purse, need, minimum_nano, own=1)
        taken = extra.lease
        if taken is old or taken is None:
            old.open_reservations -= 1
            reservation.amount_nano += extra.amount_nano
            return
        if not moving:  # the lease was replaced while this waited
            self._give_back(purse, extra, 0)
            raise UnavailableError("The lease changed; ask again.")
        self._give_back(purse, reservation, 0)
        reservation.lease = taken
        reservation.amount_nano = extra.amount_nano

    def recall(self, account: str) -> None:
        """Billing asks for idle money of the account: return it now. A lease in use takes no more
        reservations; it goes back at once if most of it is idle, else when its last request is settled.
        """
        for purse in list(self._accounts.get(account, {}).values()):
            lease = purse.lease
            if lease is None or purse.waiters or purse.flight is not None:
                continue
            if lease.open_reservations == 0 or lease.free_nano >= lease.reserved_nano:
                self._close(purse, lease)
            else:
                lease.retired = True
                purse.lease = None

    async def close(self, timeout_s: float) -> None:
        """Return everything; for shutdown, after the last request."""
        for purses in list(self._accounts.values()):
            for purse in list(purses.values()):
                if purse.flight is not None:
                    purse.flight.cancel()
                if purse.lease is not None:
                    self._close(purse, purse.lease)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    @property
    def open(self) -> int:
        """Leases in hand."""
        return sum(purse.lease is not None for purses in self._accounts.values() for purse in purses.values())

    def _purse(self, principal: Principal) -> Purse:
        purses = self._accounts.get(principal.account)
        if purses is None:
            purses = self._accounts[principal.account] = {}
        purse = purses.get(principal.spender)
        if purse is None:
            purse = Purse(principal.account, principal.spender, principal.spender_kind, self._clock())
            purses[principal.spender] = purse
        purse.budget = principal.limits.budget
        return purse

    def _from_lease(self, purse: Purse, need_nano: int) -> Reservation | None:
        lease = purse.lease
        now_s = purse.used_s = self._clock()
        if lease is None or purse.waiters or not lease.usable(now_s) or need_nano > lease.free_nano:
            return None
        reservation = self._take(purse, lease, need_nano)
        low_mark = AHEAD_SHARE * purse.liked_nano
        if lease.free_nano < low_mark and not lease.low and now_s >= purse.ahead_after_s:
            purse.renew = True
            self._fly(purse)
        return reservation

    def _take(self, purse: Purse, lease: Lease, amount_nano: int) -> Reservation:
        lease.reserved_nano += amount_nano
        lease.open_reservations += 1
        purse.spend.reserved(amount_nano)
        reservation = Reservation(lease, amount_nano, lambda cost: self._give_back(purse, reservation, cost))
        return reservation

    def _give_back(self, purse: Purse, reservation: Reservation, cost_nano: int) -> None:
        lease = reservation.lease
        if lease is None:
            return
        lease.reserved_nano -= reservation.amount_nano
        lease.open_reservations -= 1
        lease.settled_nano += cost_nano
        purse.spend.settled(cost_nano)
        if lease.open_reservations or lease.closed:
            return
        if lease.retired or (lease.low and purse.flight is None and not purse.waiters):
            self._close(purse, lease)

    async def _wait(self, purse: Purse, need_nano: int, minimum_nano: int, *, own: int) -> Reservation:
        purse.spend.reserved(need_nano)
        waiter = Waiter(need_nano, minimum_nano, own, asyncio.get_running_loop().create_future())
        purse.waiters.append(waiter)
        self._fly(purse)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            future = waiter.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(purse, future.result(), 0)  # granted in the moment the client left
            raise

    def _fly(self, purse: Purse) -> None:
        if purse.flight is None:
            purse.flight = asyncio.create_task(self._fetch(purse), name="lease")

    async def _fetch(self, purse: Purse) -> None:
        """Ask until nobody waits: the only place that calls for money, one call per purse at a time."""
        try:
            while purse.waiters or purse.renew:
                batch = [waiter for waiter in purse.waiters if not waiter.future.done()][:MAX_NEEDS]
                if not batch and not purse.renew:
                    purse.waiters.clear()
                    break
                purse.renew = False
                if await self._ask(purse, batch):
                    await asyncio.sleep(random.uniform(0.05, 0.1))  # noqa: S311  others are returning money
        except ServiceError as error:
            purse.refuse(list(purse.waiters), error)
        except Exception:  # noqa: BLE001  who waits must be told, whatever it is
            _LOG.exception("lease request failed")
            purse.refuse(list(purse.waiters), UnavailableError("Billing failed."))
        finally:
            purse.flight = None
            self._after_flight(purse)

    async def _ask(self, purse: Purse, batch: list[Waiter]) -> bool:
        """One call and the dealing out of its grant; True when it is worth asking again in a moment."""
        lease = self._present_lease(purse)
        resent = lease.pending is not None
        try:
            grant = await self._call(purse, lease, batch)
        except ServiceError as error:
            if error.error_status >= 500:
                self._deal(purse, lease, batch)
                raise UnavailableError(
                    "Billing is away for the moment; nothing was charged.", retry_after_s=_RETRY_AFTER_S
                ) from None
            # The lease is unknown, expired or overtaken: what it had is billing's again.
            self._retire(purse, lease)
            if error.error_status == 409 and lease.sequence > 0:
                return False
            _LOG.error("billing refused a lease: %s", error)
            raise UnavailableError("Billing refused; nothing was charged.") from error
        left = self._deal(purse, lease, batch)
        if left and len(batch) == 1 and not left[0].future.done():
            self._deal_part(purse, lease, left[0])
            left = [waiter for waiter in left if not waiter.future.done()]
        # An answer to an older question says nothing about these needs.
        return self._judge(purse, grant, left, final=not resent and grant.reason not in {"", "recall"})

    def _present_lease(self, purse: Purse) -> Lease:
        lease = purse.lease
        if lease is not None and lease.sequence and not lease.usable(self._clock()):
            self._retire(purse, lease)
            lease = None
        if lease is not None and lease.pending is not None:
            age_s = self._clock() - lease.pending_since_s
            if age_s > (lease.ttl_s or 10):
                self._retire(purse, lease)
                lease = None
        if lease is None:
            lease = purse.lease = Lease(uuid7())
        return lease

    async def _call(self, purse: Purse, lease: Lease, batch: list[Waiter]) -> LeaseGrant:
        request = lease.pending
        now_s = self._clock()
        purse.ahead_after_s = now_s + _AHEAD_PAUSE_S
        if request is None:
            needs = shortfalls([waiter.need_nano for waiter in batch], lease.free_nano)
            liked = purse.spend.liked_nano(now_s, lease.ttl_s or 10)
            purse.liked_nano = liked = max(liked, sum(needs))
            alone = len(batch) == 1 and bool(needs) and purse.alone(batch[0], lease)
            request = LeaseRequest(
                lease.id,
                lease.sequence,
                self._replica,
                purse.account,
                purse.spender,
                purse.spender_kind,
                needs,
                max(liked - max(0, lease.free_nano), sum(needs)),
                max(1, batch[0].minimum_nano - lease.free_nano) if alone else 0,
                purse.budget,
            )
            lease.pending = request
            lease.pending_since_s = now_s
        grant = await self._persist(request)
        lease.granted(grant, lease.pending_since_s)
        return grant

    async def _persist(self, request: LeaseRequest) -> LeaseGrant:
        for _ in range(_ASK_ATTEMPTS - 1):
            try:
                return await self._billing.request_lease(request)
            except ServiceError as error:
                if error.error_status != DeadlineError.status:
                    raise
                # The outcome is unknown, and the same question has the same answer.
        return await self._billing.request_lease(request)

    def _deal(self, purse: Purse, lease: Lease, batch: list[Waiter]) -> list[Waiter]:
        """Serve who can be served, in order, whole; the others."""
        left = []
        usable = lease.usable(self._clock())
        for waiter in batch:
            if waiter.future.done():
                purse.forget(waiter)
            elif usable and waiter.need_nano <= lease.free_nano:
                purse.forget(waiter)
                waiter.future.set_result(self._take(purse, lease, waiter.need_nano))
            else:
                left.append(waiter)
        return left

    def _deal_part(self, purse: Purse, lease: Lease, waiter: Waiter) -> None:
        """The last cents for a lone stream."""
        enough = lease.free_nano >= waiter.minimum_nano and lease.usable(self._clock())
        if enough and purse.alone(waiter, lease):
            purse.forget(waiter)
            waiter.future.set_result(self._take(purse, lease, lease.free_nano))

    def _judge(self, purse: Purse, grant: LeaseGrant, left: list[Waiter], *, final: bool) -> bool:
        again = False
        for waiter in left:
            waiter.tries += 1
            if not final and waiter.tries < _RECALL_ATTEMPTS:
                again = True
                continue
            purse.refuse([waiter], shortage(waiter, grant, purse.spender_kind))
        return again

    def _after_flight(self, purse: Purse) -> None:
        lease = purse.lease
        if purse.waiters:
            self._fly(purse)
        elif lease is not None and lease.open_reservations == 0 and lease.low:
            self._close(purse, lease)
        if purse.timer is None:
            purse.timer = asyncio.get_running_loop().call_later(self._idle_s, self._tick, purse)

    def _tick(self, purse: Purse) -> None:
        """Once per idle period: close what is idle, renew what is in use, drop what is empty."""
        purse.timer = None
        lease = purse.lease
        if lease is None:
            if not purse.waiters and purse.flight is None:
                self._drop(purse)
                return
        elif purse.flight is None:
            now_s = self._clock()
            if lease.open_reservations == 0 and now_s - purse.used_s >= self._idle_s:
                self._close(purse, lease)
            elif lease.granted_nano and now_s >= lease.deadline_s - lease.ttl_s / 2:
                purse.renew = True
                self._fly(purse)
        purse.timer = asyncio.get_running_loop().call_later(self._idle_s, self._tick, purse)

    def _drop(self, purse: Purse) -> None:
        purses = self._accounts.get(purse.account)
        if purses is not None and purses.get(purse.spender) is purse:
            del purses[purse.spender]
            if not purses:
                del self._accounts[purse.account]

    def _retire(self, purse: Purse, lease: Lease) -> None:
        lease.retired = True
        if purse.lease is lease:
            purse.lease = None
        if lease.open_reservations == 0 and not lease.closed:
            self._close(purse, lease)

    def _close(self, purse: Purse, lease: Lease) -> None:
        if purse.lease is lease:
            purse.lease = None
        if lease.closed:
            return
        call = lease.close()
        if lease.granted_nano == 0 and lease.pending is None:
            return  # billing never heard of it
        task = asyncio.create_task(self._return(call), name="lease-close")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _return(self, call: LeaseClose) -> None:
        for attempt in range(_CLOSE_ATTEMPTS):
            try:
                await self._billing.close_lease(call)
            except ServiceError as error:
                if error.error_status >= 500:  # billing is away; it expires the lease if it stays so
                    await asyncio.sleep(0.2 * 2**attempt)
                    continue
                _LOG.info("lease %s was not there to close: %s", call.lease, error.error_code)
                return
            else:
                return
