"""Seal what is posted, and prove that it is still what was sealed."""

import asyncio

from billing.domain.audits import Period
from billing.domain.ports import Clock
from billing.seals.domain.ports import SealStore
from billing.seals.domain.seals import ChainReport, Seal, chain_faults

_TOGETHER = 8
"""Seals recomputed by one statement."""
_WORKERS = 2


class Sealer:
    """Appends to the chain, a bounded batch at a time; any replica may, one at a time does.

    A position is given before its transaction commits. So a round first notes how far positions are given,
    and seals up to there only when every transaction has ended that may hold a lower one.
    """

    def __init__(self, store: SealStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def seal_posted(self) -> int:
        """Seal everything that is certain by now; the number of new seals."""
        settled = await self._store.settled()
        sealed = 0
        while await self._store.seal(settled, self._clock()) is not None:
            sealed += 1
        return sealed


async def list_seals(store: SealStore, before: int | None, limit: int) -> list[Seal]:
    """Newest first."""
    return await store.newest(before, limit)


async def verify_chain(
    store: SealStore, period: Period | None = None, expect: bytes | None = None
) -> ChainReport:
    """Recompute every seal of the period (or all) from its rows.

    With `expect`, a digest kept elsewhere, the chain must also contain it.
    """
    first, last = await store.numbers(period)
    pages = iter(range(first, last + 1, _TOGETHER))
    faults: dict[int, str] = {}
    rows = unverified = 0

    async def work() -> None:
        nonlocal rows, unverified
        for start in pages:
            end = min(start + _TOGETHER - 1, last)
            seals = await store.read(max(start - 1, 1), end)
            before = seals.pop(0) if seals and seals[0].number < start else None
            found = await store.recompute(start, end)
            if len(seals) != end - start + 1:
                faults[start] = f"seals {start} to {end}: {end - start + 1 - len(seals)} are missing"
                continue
            for seal, fault in zip(seals, chain_faults(seals, before, found), strict=True):
                if fault:
                    faults[seal.number] = fault
            rows += sum(one.transfers + one.records for one in found if one is not None)
            unverified += sum(one is None for one in found)

    await asyncio.gather(*(work() for _ in range(_WORKERS)))
    newest = await store.newest(None, 1)
    head = newest[0].digest.hex() if newest else ""
    known = None if expect is None else await store.find(expect)
    first_bad = faults[min(faults)] if faults else ""
    if expect is not None and known is None:
        first_bad = first_bad or "the expected head is not in the chain: it was rewritten or cut"
    return ChainReport(
        ok=not first_bad,
        seals=max(0, last - first + 1),
        rows=rows,
        unverified=unverified,
        bad=len(faults),
        first_bad=first_bad,
        head=head,
        expected=known,
    )
