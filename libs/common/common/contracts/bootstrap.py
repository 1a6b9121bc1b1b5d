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


class UserSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person; `grant_usd` is posted to the wallet once, whatever number of times the file is applied."""

    email: str
    password: str | None = None
    role: Literal["admin", "user"] = "user"
    group: str = "default"
    grant_usd: str | None = None
    keys: tuple[KeySpec, ...] = ()


class ChannelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An upstream account. `models` are the public names; `model_map` renames them for the upstream."""

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


class PriceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list price: token units in USD per million, the others in USD per one."""

    model: str
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
    context_window: int | None = None
    max_output: int | None = None


class OAuthAppSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A third-party app, applied by the oauth service."""

    name: str
    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]


class Bootstrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    groups: tuple[GroupSpec, ...] = ()
    users: tuple[UserSpec, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    prices: tuple[PriceSpec, ...] = ()
    oauth_apps: tuple[OAuthAppSpec, ...] = ()
