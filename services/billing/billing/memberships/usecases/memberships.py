"""Memberships as time passes and plans change; what payments change is reviewed with the payment itself."""

import logging
from collections.abc import Callable

from billing.domain.allowances import Allowances
from billing.domain.leases import is_uuid
from billing.domain.ports import Clock, Writer
from billing.memberships.domain.memberships import ReviewMemberships
from billing.memberships.domain.plans import allowances_of, read_plans
from billing.memberships.domain.ports import MembershipReader, PlanShelf, PlanStore, Standing
from billing.memberships.usecases.plans import publish_plans
from common.contracts.errors import ServiceError

_LOG = logging.getLogger(__name__)
_PAGE = 500
_PAGES_A_ROUND = 20
_PAGES_A_ROUND = 20
_NOBODY = "00000000-0000-0000-0000-000000000000"


async def read_standing(memberships: MembershipReader, account: str) -> Standing:
    """Of what the account is a member; of nothing, when it is no account's id."""
    return await memberships.read(account) if is_uuid(account) else Standing()


class MembershipSweeper:
    """Keeps up with the plans and ends memberships whose time is over.

    Every step may be repeated by any replica: a review finds the truth, whoever asks for it and how often.
    """

    def __init__(
        self,
        writer: Writer,
        memberships: MembershipReader,
        store: PlanStore,
        shelf: PlanShelf,
        clock: Clock,
        tell_ledger: Callable[[Allowances], None],
    ) -> None:
        self._writer = writer
        self._memberships = memberships
        self._store = store
        self._shelf = shelf
        self._clock = clock
        self._tell_ledger = tell_ledger
        self._read_version = -1
        self._published_version = -1

    async def sweep(self) -> None:
        """One round. What cannot be reached now is done in a later one."""
        version, reviewed = await self._store.version()
        if version != self._read_version:
            book = await self._store.current()
            self._tell_ledger(allowances_of(read_plans(book.plans)))
            self._read_version = book.version
        await self._publish(version)
        try:
            if not reviewed:
                await self._review_payers(version)
            await self._end()
        except ServiceError as error:
            _LOG.warning("memberships: not swept: %s", error.message)

    async def republish(self) -> None:
        """Look at the shelf again: the broker may have come back without it."""
        await publish_plans(self._store, self._shelf)

    async def _publish(self, version: int) -> None:
        if version == self._published_version:
            return
        try:
            book = await publish_plans(self._store, self._shelf)
        except ServiceError as error:
            _LOG.warning("plans: not published yet: %s", error.message)
        else:
            self._published_version = book.version

    async def _review_payers(self, version: int) -> None:
        """Under new plans anybody who ever paid may be a member of another one, or of none."""
        after = _NOBODY
        while page := await self._memberships.payers(after, _PAGE):
            await self._writer.submit(ReviewMemberships(page, "plans"))
            after = page[-1]
        await self._store.mark_reviewed(version)

    async def _end(self) -> None:
        for _ in range(_PAGES_A_ROUND):
            due = await self._memberships.due(self._clock(), _PAGE)
            if due:
                await self._writer.submit(ReviewMemberships(due, "expired"))
            if len(due) < _PAGE:
                return
