"""Close a month."""

import asyncio
from datetime import date

from billing.domain.audits import BEGINNING, Period
from billing.domain.ports import Auditor, Clock, UsageBacklog
from billing.seals.domain.closes import Close, NotClosableError, check_closable, month_after, start_of
from billing.seals.domain.ports import CloseStore
from billing.seals.usecases.seals import Sealer

PATIENCE_S = 10.0
"""How long a close waits for usage under way and for the sealer."""
_POLL_S = 0.05


class Closer:
    """Closes months, one after the other, each once."""

    def __init__(
        self, store: CloseStore, sealer: Sealer, auditor: Auditor, backlog: UsageBacklog, clock: Clock
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._auditor = auditor
        self._backlog = backlog
        self._clock = clock

    async def list_closes(self) -> list[Close]:
        """Oldest first."""
        return await self._store.list_()

    async def close_month(self, month: date) -> Close:
        """Bar the month, seal and audit it, and write its row; the same month again gives the same row.

        NotClosableError when the month is not over, does not follow the last close, still waits for usage
        or seals, or its audit finds a fault. The bar stays then: the month is over.
        """
        closes = await self._store.list_()
        for done in closes:
            if done.month == month:
                return done
        last = closes[-1].month if closes else None
        check_closable(month, last, self._clock())
        await self._await_usage()
        await self._store.bar(month)
        await self._await_seals(month)
        start = BEGINNING if last is None else start_of(month_after(last))
        await self._audit(Period(start, start_of(month_after(month))))
        return await self._store.close(month, self._clock())

    async def _await_usage(self) -> None:
        """What is published so far is charged first, so that it is charged in the month it belongs to."""
        published = await self._backlog.last()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._backlog.applied(published):  # noqa: ASYNC110  a stream does not call
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotClosableError("Usage is still being charged.") from None

    async def _await_seals(self, month: date) -> None:
        unsealed = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                while unsealed := await self._store.unsealed(month):
                    await self._sealer.seal_posted()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotClosableError(f"{unsealed} transfers are not sealed yet.") from None

    async def _audit(self, period: Period) -> None:
        for check in await self._auditor.run(period):
            if not check.ok:
                raise NotClosableError(f"The audit found a fault: {check.name}: {check.detail}")
