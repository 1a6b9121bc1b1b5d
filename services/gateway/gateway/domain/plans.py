"""Plans as the gateway uses them: whose group, rate and models a user has while a membership lasts."""

from datetime import datetime
from functools import lru_cache

import msgspec

from common.contracts.bootstrap import PlanSpec
from common.contracts.plans import PlanBook


class Membership(msgspec.Struct, frozen=True):
    """What billing said of an account last: its events count by `sequence`. No plan is the empty one."""

    account: str
    plan: str
    until: datetime | None
    sequence: int


class Plans:
    """The plans in force: those of the bootstrap file until billing's book is read."""

    def __init__(self, plans: tuple[PlanSpec, ...] = ()) -> None:
        self._book = PlanBook(0, plans)
        self._index()

    def replace(self, book: PlanBook) -> bool:
        """Take over billing's book; False when it says nothing new."""
        same = book.plans == self._book.plans
        self._book = book
        self._index()
        return not same

    def named(self, name: str) -> PlanSpec | None:
        """The plan of that name, if there (still) is one."""
        return self._by_name.get(name)

    def _index(self) -> None:
        plans = self._book.plans
        self._by_name = {plan.name: plan for plan in plans}
        self.base = next((plan for plan in plans if not plan.rules), None)
        self.groups = sorted({plan.group for plan in plans if plan.group is not None})


@lru_cache(4096)
def intersect_models(own: tuple[str, ...] | None, allowed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Entries that cover what both lists cover; None is all, an entry may end with `*`."""
    if own is None or allowed is None:
        return allowed if own is None else own
    both = (_narrower(one, other) for one in own for other in allowed)
    return tuple(dict.fromkeys(entry for entry in both if entry is not None))


def _narrower(one: str, other: str) -> str | None:
    for narrow, wide in ((one, other), (other, one)):
        if narrow == wide or (wide.endswith("*") and narrow.removesuffix("*").startswith(wide[:-1])):
            return narrow
    return None
