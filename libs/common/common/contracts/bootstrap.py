"""The bootstrap file `tollway.toml`: declarative and idempotent; each owner service applies its part.

Unknown keys are refused (`forbid_unknown_fields`); `env:NAME` values are resolved by common.kit.bootstrap
before these Structs see them. Money and rates are decimal strings.
"""

from typing import Literal

import msgspec

from common.contracts.principals import BudgetPeriod


class GroupSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of users and its multiplier on list price."""

    name: str
    rate: str = "1.0"


class KeySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key; without `secret` one is generated and printed once. `ips` are addresses or CIDR blocks."""

    name: str
    secret: str | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: tuple[str, ...] | None = None
    ips: tuple[str, ...] | None = None
    expires_at: str | None = None
    budget_usd: str | None = None
    budget_period: BudgetPeriod = "total"
    budget_timezone: str = "UTC"
    budget_alert_percent: int | None = None
    max_charge_usd: str | None = None


class UserSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person; `grant_usd` is posted to the wallet once, whatever number of times the file is applied."""

    email: str
    password: str | None = None
    role: Literal["admin", "user"] = "user"
    group: str = "default"
    grant_usd: str | None = None
    keys: tuple[KeySpec, ...] = ()


class ChannelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An upstream account. `models` are the public names; `model_map` renames them for the upstream.

    `cost_rate` is what the upstream takes of the list price (`0.8`), None when that is not known.
    """

    name: str
    kind: str
    base_url: str
    models: tuple[str, ...]
    api_key: str | tuple[str, ...] = ()
    model_map: dict[str, str] = {}
    priority: int = 0
    weight: int = 1
    groups: tuple[str, ...] = ("default",)
    enabled: bool = True
    cost_rate: str | None = None


class UnitPricesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unit prices as people write them: tokens in USD per million, the others in USD per one."""

    input: str | None = None
    cached_input: str | None = None
    cache_write: str | None = None
    cache_write_1h: str | None = None
    output: str | None = None
    reasoning: str | None = None
    audio_input: str | None = None
    audio_output: str | None = None
    image_input: str | None = None
    image_output: str | None = None
    per_call: str | None = None
    per_second: str | None = None
    per_image: str | None = None
    per_megapixel: str | None = None
    per_character: str | None = None


class CostSpec(UnitPricesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the upstream of a channel takes for a model, which may end with `*`; wins over `cost_rate`."""

    channel: str
    model: str


class TierSpec(UnitPricesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes for the whole of a request whose prompt has more than `above` tokens."""

    above: int


class PriceSpec(UnitPricesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list price. `effective_from` is an RFC 3339 time with its zone; absent, or past, it means at once."""

    model: str
    context_window: int | None = None
    max_output: int | None = None
    effective_from: str | None = None
    tiers: tuple[TierSpec, ...] = ()


class MultiplierSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A factor on the price of what it matches; every one that matches multiplies (contracts.prices).

    `model` may end with `*`; `from` and `to` are times of the day (`HH:MM`, `to` up to `24:00`) on the clock
    of `zone`, which cross midnight when `to` is not later; `valid_from`, `valid_to` are RFC 3339 times.
    """

    name: str
    rate: str
    group: str = "*"
    model: str = "*"
    zone: str = "UTC"
    from_time: str = msgspec.field(default="00:00", name="from")
    to_time: str = msgspec.field(default="24:00", name="to")
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    valid_from: str | None = None
    valid_to: str | None = None


class RechargeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one USD of balance costs in `currency` (three letters): `price = "2.5"`."""

    currency: str
    price: str


class OAuthAppSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A third-party app of the operator's, applied by the oauth service.

    It has a `client_secret` (16 characters at least), or `jwks`, the JSON of a JSON Web Key Set, or is
    `public`. `fee` is the platform's share of each charge (`0.05`); absent, it stays what it was.
    """

    name: str
    client_id: str
    redirect_uris: tuple[str, ...]
    client_secret: str | None = None
    public: bool = False
    jwks: str | None = None
    description: str = ""
    homepage: str = ""
    scopes: tuple[str, ...] = ("openid",)
    fee: str | None = None
    require_par: bool = False
    require_dpop: bool = False


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payments of `amount` USD together, each less than `within` after the first of them, give a plan until
    `gives` after that first one. Spans are `N day|week|month|year(s)`; `within` is `gives` when absent.
    """

    amount: str
    gives: str
    within: str | None = None


class AllowanceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` USD that a member may use free of charge in each `period` of the clock of `time_zone`."""

    amount: str
    period: Literal["day", "week", "month"] = "day"
    time_zone: str = "UTC"


class PlanSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member gets. Of several plans reached the highest `rank` counts; a plan without rules is what
    everybody has, and there is at most one. `group` None leaves the user's own; `models` None means all,
    entries may end with `*`.
    """

    name: str
    rank: int = 0
    group: str | None = None
    models: tuple[str, ...] | None = None
    rules: tuple[RuleSpec, ...] = ()
    allowance: AllowanceSpec | None = None


class Bootstrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    groups: tuple[GroupSpec, ...] = ()
    users: tuple[UserSpec, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    prices: tuple[PriceSpec, ...] = ()
    multipliers: tuple[MultiplierSpec, ...] = ()
    oauth_apps: tuple[OAuthAppSpec, ...] = ()
    costs: tuple[CostSpec, ...] = ()
    recharge: tuple[RechargeSpec, ...] = ()
    plans: tuple[PlanSpec, ...] = ()
