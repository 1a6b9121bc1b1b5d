"""The balance alert: one event for each time that an account's money falls below what its owner named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from billing.domain.leases import is_uuid
from common.contracts.errors import InvalidRequestError
from common.kit.money import MAX_NANO

if TYPE_CHECKING:
    from billing.domain.books import Books, Wanted


class SetAlert(msgspec.Struct, frozen=True):
    """Watch `account` for a balance (wallet and held together) below `alert_nano`; None stops watching.

    Told at once when it is below already. Setting the same threshold again changes and tells nothing.
    """

    account: str
    alert_nano: int | None
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        """The account."""
        wanted.customers.add(self.account)

    def decide(self, books: Books) -> None:
        """Set it."""
        customer = books.customers[self.account]
        if customer.alert_nano == self.alert_nano:
            return
        customer.alert_nano = self.alert_nano
        customer.alerted = False
        customer.changed = True
        books.watch(customer)


def check_alert(operation: SetAlert) -> None:
    """Raise InvalidRequestError unless the account is a UUID and the threshold above zero."""
    if not is_uuid(operation.account):
        raise InvalidRequestError("account is not a UUID.", param="account")
    if operation.alert_nano is not None and not 0 < operation.alert_nano <= MAX_NANO:
        raise InvalidRequestError("A threshold is above zero, or null.", param="low_balance")
