"""Who is calling: what the gateway establishes once and every service behind it trusts."""

from typing import Literal

import msgspec

from common.contracts.errors import ForbiddenError

BudgetPeriod = Literal["total", "day", "week", "month"]
SpenderKind = Literal["key", "grant"]


class Budget(msgspec.Struct, frozen=True, array_like=True):
    """A spender's own ceiling: `limit_nano` nano-USD per `period`, MAX_NANO for none; total never resets.

    Windows begin at midnight, on Monday, on the first, on the clock of `timezone` (an IANA name). Owner and
    subscribers are told once per window when used + held reach `alert_percent` (1 to 100) of the limit.
    `max_charge_nano` is the most that one hold, or one reservation of a request, may be.
    """

    limit_nano: int
    period: BudgetPeriod = "total"
    timezone: str = "UTC"
    alert_percent: int | None = None
    max_charge_nano: int | None = None


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """Per-spender limits; None is unlimited. `rpm` and `concurrency` bind at the gateway, `tpm` at relays."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budget: Budget | None = None


class Principal(msgspec.Struct, frozen=True, array_like=True):
    """The authenticated caller of one request, valid until `expires_at_s` (Unix seconds, 60 s ahead).

    `account` owns the wallet, `spender` is the API key or OAuth grant the money is spent through, both
    UUIDs as text. `rate_micro` is the group's multiplier on list price in millionths. `models` None means
    all; entries may end with `*`. `scopes`: `relay` reaches the model routes, `admin` the management API.
    `app` is the OAuth client that acts for the user, empty for an API key.
    """

    account: str
    user: str
    spender: str
    group: str
    rate_micro: int
    request_id: str
    expires_at_s: int
    scopes: tuple[str, ...] = ("relay",)
    models: tuple[str, ...] | None = None
    limits: Limits = Limits()
    spender_kind: SpenderKind = "key"
    app: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether the caller may see and change what is not its own."""
        return "admin" in self.scopes

    def require_admin(self) -> None:
        """ForbiddenError unless the caller is an admin."""
        if not self.is_admin:
            raise ForbiddenError("This takes an admin key.")

    def allows_model(self, model: str) -> bool:
        """Whether the spender's model list covers `model`."""
        if self.models is None:
            return True
        return any(
            model == entry or (entry.endswith("*") and model.startswith(entry[:-1])) for entry in self.models
        )
