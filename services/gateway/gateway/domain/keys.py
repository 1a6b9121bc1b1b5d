"""API keys: what they look like, how they are stored, and what is known of one when it is used."""

import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime

import msgspec

from common.contracts.bootstrap import PlanSpec
from common.contracts.principals import Budget, BudgetPeriod, Limits, SpenderKind
from common.kit.money import MAX_NANO
from gateway.domain.addresses import Network, parse_networks
from gateway.domain.plans import intersect_models

PREFIX_LENGTH = 10
MIN_SECRET_LENGTH = 16
NIL_ID = "00000000-0000-0000-0000-000000000000"
KEY_SCOPES = ("relay", "account")
ADMIN_SCOPES = ("relay", "account", "admin")

_RANDOM_BYTES = 36  # 48 characters of base64url


class KeyFacts(msgspec.Struct, frozen=True):
    """What a valid key stands for; everything a request needs, so that none asks the database twice.

    `networks` None means any address. `expires_at_s` is Unix seconds. `restricted`: the key was given away
    with less than its owner's power (budget, models, addresses, expiry) and may not make other keys.

    `models` is the key's own list and `plan_models` the plan's. With `plan_until_s` (Unix seconds) group,
    rate and plan_models are a membership's, which ends then; `lapsed` is what the key stands for afterwards.

    An access token's facts have its grant for `key`, with `spender_kind` "grant" and the `app` that holds it;
    `jkt` not empty is the key that must prove itself with every request (RFC 9449).
    """

    key: str
    user: str
    account: str
    group: str
    rate_micro: int
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None = None
    limits: Limits = Limits()
    networks: tuple[Network, ...] | None = None
    expires_at_s: float | None = None
    plan_models: tuple[str, ...] | None = None
    plan_until_s: float | None = None
    lapsed: "KeyFacts | None" = None
    spender_kind: SpenderKind = "key"
    app: str = ""
    jkt: str = ""

    @property
    def allowed_models(self) -> tuple[str, ...] | None:
        """What may be called: what both lists cover."""
        return intersect_models(self.models, self.plan_models)

    def under(self, plan: PlanSpec | None, rates: Mapping[str, int]) -> "KeyFacts":
        """With the plan's models, and its group where there is one of that name in `rates`."""
        if plan is None:
            return self
        facts = msgspec.structs.replace(self, plan_models=plan.models)
        if plan.group is None or plan.group not in rates:
            return facts
        return msgspec.structs.replace(facts, group=plan.group, rate_micro=rates[plan.group])

    @property
    def is_admin(self) -> bool:
        """Whether the key reaches what belongs to others."""
        return "admin" in self.scopes

    @property
    def restricted(self) -> bool:
        """Whether the key has less than its owner's power."""
        bounds = (self.limits.budget, self.models, self.networks, self.expires_at_s)
        return any(bound is not None for bound in bounds)


OPERATOR = KeyFacts(NIL_ID, NIL_ID, NIL_ID, "default", 1_000_000, ADMIN_SCOPES)
"""Who holds the operator's key: nobody's account, everybody's objects."""


class Key(msgspec.Struct, frozen=True):
    """A stored key. `hash` is the keyed digest; the key itself exists only where it was shown."""

    id: str
    user: str
    name: str
    hash: bytes
    prefix: str
    scopes: tuple[str, ...] = KEY_SCOPES
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: tuple[str, ...] | None = None
    ips: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    budget_nano: int | None = None
    budget_period: BudgetPeriod = "total"
    budget_timezone: str = "UTC"
    budget_alert_percent: int | None = None
    max_charge_nano: int | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def limits(self) -> Limits:
        """As they travel in the principal."""
        return Limits(self.rpm, self.tpm, self.concurrency, self._budget())

    def _budget(self) -> Budget | None:
        if self.budget_nano is None and self.max_charge_nano is None:
            return None
        return Budget(
            MAX_NANO if self.budget_nano is None else self.budget_nano,
            self.budget_period,
            self.budget_timezone,
            self.budget_alert_percent,
            self.max_charge_nano,
        )

    def networks(self) -> tuple[Network, ...] | None:
        """The addresses it may be used from, None when any; ValueError when one cannot be read."""
        return None if self.ips is None else parse_networks(self.ips)


class KeyHasher:
    """HMAC-SHA256 under the pepper: equal keys are found by digest, and a stolen table holds no key.

    A slow password hash would add nothing, since generated keys have 288 random bits, and would cost every
    request.
    """

    def __init__(self, pepper: str) -> None:
        self._pepper = pepper.encode()

    def digest(self, secret: str) -> bytes:
        """32 bytes."""
        return hmac.digest(self._pepper, secret.encode(), "sha256")


def generate_secret() -> str:
    """A fresh key: `sk-` and 48 URL-safe characters."""
    return f"sk-{secrets.token_urlsafe(_RANDOM_BYTES)}"


def prefix_of(secret: str) -> str:
    """What people recognise a key by; never more than half of it."""
    return secret[: min(PREFIX_LENGTH, len(secret) // 2)]
