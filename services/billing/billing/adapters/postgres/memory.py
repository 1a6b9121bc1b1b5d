"""What this process knows of customers: their accounts, spenders and open leases as it last left them.

The row in `customers` is the lock of all of them and is written whenever one of them is. So its `xmin`, the
transaction that wrote it last, tells whoever has locked it if they are still as remembered: nothing is read
that only this process wrote. Whoever edits one of those tables by hand writes the row in `customers` too.
"""

from collections.abc import Iterable, Mapping

from billing.domain.accounts import Account
from billing.domain.leases import Lease
from billing.domain.spenders import Spender

_CUSTOMERS = 4096
_PARTS = 1024
_OWNERS = 32_768


class Known:
    """One customer's accounts, spenders and open leases, as the transaction `version` left them."""

    __slots__ = ("held", "leases", "spenders", "version", "wallet")

    def __init__(self, version: int, wallet: Account, held: Account) -> None:
        self.version = version
        self.wallet = wallet
        self.held = held
        self.spenders: dict[str, Spender] = {}
        self.leases: dict[str, Lease] = {}


class Memory:
    """Taken out by the transaction that locked the customer, put back once that is committed.

    A transaction that fails, or of which it is not known whether it did, puts nothing back.
    """

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._owners: dict[str, str] = {}

    def owners(self, ids: Iterable[str]) -> tuple[set[str], set[str]]:
        """The customers of those leases and spenders that are known, which never change; the others."""
        found = {id_: self._owners.get(id_) for id_ in ids}
        return {owner for owner in found.values() if owner}, {id_ for id_ in found if not found[id_]}

    def take(self, customer: str, version: int) -> Known | None:
        """What is known, if the customer's row is still of that version; the caller has locked it."""
        known = self._known.pop(customer, None)
        return known if known is not None and known.version == version else None

    def find(self, id_: str, among: Mapping[str, Known]) -> Known | None:
        """Those of `among` whose lease or spender this is."""
        return among.get(self._owners.get(id_, ""))

    def keep(self, customers: Mapping[str, Known], owners: Mapping[str, str], closed: Iterable[str]) -> None:
        """What was committed, whose the leases and spenders in it are, and which leases no longer are."""
        for customer, known in customers.items():
            self._known.pop(customer, None)  # the newest are last
            self._known[customer] = known
            if len(known.spenders) + len(known.leases) > _PARTS:
                known.spenders.clear()
                known.leases.clear()
        while len(self._known) > _CUSTOMERS:
            del self._known[next(iter(self._known))]
        if len(self._owners) > _OWNERS:
            self._owners.clear()
        self._owners |= owners
        for lease in closed:
            self._owners.pop(lease, None)

    def forget(self) -> None:
        """All of it: this may be another server, whose transactions have the numbers of lost ones."""
        self._known.clear()
        self._owners.clear()
