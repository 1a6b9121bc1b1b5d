"""Grants: what a person allowed an app, and the spender it is to the ledger."""

from datetime import datetime
from typing import Literal

import msgspec

from common.contracts.principals import Budget, BudgetPeriod
from common.kit.money import MAX_NANO

RevokedBy = Literal["user", "app", "owner", "operator", "replay"]

ALERT_PERCENT = 80
"""People hear of it when an app has used this much of its limit."""


class Spending(msgspec.Struct, frozen=True):
    """What the person entered: nano-USD per `period` of the clock of `timezone`, and the most at once.

    None is no bound; a grant that may spend always has a `limit_nano`. `expires_at` ends the spending and
    with it the grant's tokens.
    """

    limit_nano: int | None = None
    period: BudgetPeriod = "total"
    timezone: str = "UTC"
    max_charge_nano: int | None = None
    expires_at: datetime | None = None

    @property
    def budget(self) -> Budget | None:
        """As the ledger enforces it."""
        if self.limit_nano is None and self.max_charge_nano is None:
            return None
        limit_nano = MAX_NANO if self.limit_nano is None else self.limit_nano
        return Budget(limit_nano, self.period, self.timezone, ALERT_PERCENT, self.max_charge_nano)


class Grant(msgspec.Struct, frozen=True):
    """One person's grant to one app; its `id` is the spender of billing. `app` is App.id, not the client id.

    There is one live grant per app and person: consent given again changes it, so what was spent counts on.
    """

    id: str
    app: str
    user: str
    scopes: tuple[str, ...]
    spending: Spending
    created_at: datetime
    updated_at: datetime
    revoked_at: datetime | None = None
    revoked_by: RevokedBy | None = None


class Person(msgspec.Struct, frozen=True):
    """A person of the gateway who granted something or owns an app; `account` is whose wallet pays."""

    user: str
    account: str
    email: str = ""
    enabled: bool = True
