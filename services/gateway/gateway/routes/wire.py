"""What the management API says and hears: JSON Structs, and the converters between them and the domain."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec

from common.contracts.errors import InvalidRequestError
from common.contracts.principals import BudgetPeriod
from common.kit.money import MAX_NANO, format_rate, format_usd, parse_rate, parse_usd
from gateway.domain.groups import DEFAULT, Group
from gateway.domain.keys import KEY_SCOPES, Key
from gateway.domain.users import Role, User
from gateway.usecases.keys import NewKey
from gateway.usecases.users import NewUser, UserChange

T = TypeVar("T")
Limit = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Unset = msgspec.UnsetType


class Page(msgspec.Struct, Generic[T]):
    """A list; `next` is the cursor to pass as `after`, null at the end."""

    data: list[T]
    next: str | None = None


class UserView(msgspec.Struct):
    """A person."""

    id: str
    account: str
    email: str
    role: Role
    group: str
    enabled: bool
    created_at: datetime | None


class UserCreate(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /api/users."""

    email: str
    password: str | None = None
    role: Role = "user"
    group: str = DEFAULT

    def to_domain(self) -> NewUser:
        """The same for the use-case."""
        return NewUser(self.email, self.password, self.role, self.group)


class UserPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PATCH /api/users/{id}; what is absent stays."""

    password: str | None = None
    role: Role | None = None
    group: str | None = None
    enabled: bool | None = None

    def to_domain(self) -> UserChange:
        """The same for the use-case."""
        return UserChange(self.password, self.role, self.group, self.enabled)


class KeyView(msgspec.Struct):
    """A key as everybody but its maker sees it, once."""

    id: str
    user: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    models: tuple[str, ...] | None
    ips: tuple[str, ...] | None
    expires_at: datetime | None
    budget_usd: str | None
    budget_period: BudgetPeriod
    budget_timezone: str
    budget_alert_percent: int | None
    max_charge_usd: str | None
    created_at: datetime | None
    revoked_at: datetime | None


class NewKeyView(KeyView):
    """The answer to POST /api/keys: the only one that ever holds `secret`."""

    secret: str = ""


class KeyCreate(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /api/keys. The owner is `email` or `user`, else the caller."""

    name: str
    email: str | None = None
    user: UUID | None = None
    secret: str | None = None
    scopes: tuple[str, ...] = KEY_SCOPES
    rpm: Limit | None = None
    tpm: Limit | None = None
    concurrency: Limit | None = None
    models: tuple[str, ...] | None = None
    ips: tuple[str, ...] | None = None
    expires_at: Moment | None = None
    budget_usd: str | None = None
    budget_period: BudgetPeriod = "total"
    budget_timezone: str = "UTC"
    budget_alert_percent: int | None = None
    max_charge_usd: str | None = None

    def to_domain(self) -> NewKey:
        """The same for the use-case; raises InvalidRequestError on a bad amount."""
        return NewKey(
            name=self.name,
            secret=self.secret,
            scopes=self.scopes,
            rpm=self.rpm,
            tpm=self.tpm,
            concurrency=self.concurrency,
            models=self.models,
            ips=self.ips,
            expires_at=self.expires_at,
            budget_nano=_nano("budget_usd", self.budget_usd),
            budget_period=self.budget_period,
            budget_timezone=self.budget_timezone,
            budget_alert_percent=self.budget_alert_percent,
            max_charge_nano=_nano("max_charge_usd", self.max_charge_usd),
        )


class KeyPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PATCH /api/keys/{id}; what is absent stays, null removes a limit."""

    name: str | Unset = msgspec.UNSET
    rpm: Limit | Unset | None = msgspec.UNSET
    tpm: Limit | Unset | None = msgspec.UNSET
    concurrency: Limit | Unset | None = msgspec.UNSET
    models: tuple[str, ...] | Unset | None = msgspec.UNSET
    ips: tuple[str, ...] | Unset | None = msgspec.UNSET
    expires_at: Moment | Unset | None = msgspec.UNSET
    budget_usd: str | Unset | None = msgspec.UNSET
    budget_period: BudgetPeriod | Unset = msgspec.UNSET
    budget_timezone: str | Unset = msgspec.UNSET
    budget_alert_percent: int | Unset | None = msgspec.UNSET
    max_charge_usd: str | Unset | None = msgspec.UNSET

    def to_changes(self) -> dict[str, Any]:
        """The named fields of the domain's Key; raises InvalidRequestError on a bad amount."""
        fields = msgspec.structs.asdict(self)
        changes = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        for name, amount in (("budget_usd", "budget_nano"), ("max_charge_usd", "max_charge_nano")):
            if name in changes:
                changes[amount] = _nano(name, changes.pop(name))
        return changes


class GroupView(msgspec.Struct):
    """A group; `rate` is the decimal multiplier on list price."""

    name: str
    rate: str


class GroupPut(msgspec.Struct, forbid_unknown_fields=True):
    """Body of PUT /api/groups/{name}."""

    rate: str

    def to_domain(self, name: str) -> Group:
        """The same for the use-case; raises InvalidRequestError on a bad multiplier."""
        try:
            rate_micro = parse_rate(self.rate)
        except ValueError as error:
            raise InvalidRequestError(f"rate: {error}.", param="rate") from None
        if not 0 <= rate_micro <= MAX_NANO // 1000:
            raise InvalidRequestError("A rate is not negative.", param="rate")
        if not 0 < len(name) <= 100:
            raise InvalidRequestError("A name has 1 to 100 characters.", param="name")
        return Group(name, rate_micro)


class Me(msgspec.Struct):
    """Who the caller is. `email` is null for the operator's key, which is nobody's.

    `plan` is what the account is a member of, until `plan_until`, or what everybody has, without an end; null
    when there are no plans.
    """

    user: str
    account: str
    key: str
    email: str | None
    role: Role
    group: str
    scopes: tuple[str, ...]
    plan: str | None = None
    plan_until: datetime | None = None


def user_view(user: User) -> UserView:
    """Without the password hash."""
    return UserView(user.id, user.account, user.email, user.role, user.group, user.enabled, user.created_at)


def key_view(key: Key) -> KeyView:
    """Without the digest."""
    return KeyView(**_key_fields(key))


def new_key_view(key: Key, secret: str) -> NewKeyView:
    """With the secret, for the one answer that shows it."""
    return NewKeyView(**_key_fields(key), secret=secret)


def group_view(group: Group) -> GroupView:
    """With the multiplier as a decimal."""
    return GroupView(group.name, format_rate(group.rate_micro))


def page(items: list[T], limit: int, last_id: str | None) -> Page[T]:
    """A page of `items`, fetched one more than `limit` to know whether there is a next one."""
    return Page(items[:limit], last_id if len(items) > limit else None)


def _key_fields(key: Key) -> dict[str, Any]:
    fields = msgspec.structs.asdict(key)
    del fields["hash"]
    budget_nano, max_charge_nano = fields.pop("budget_nano"), fields.pop("max_charge_nano")
    return fields | {"budget_usd": _usd(budget_nano), "max_charge_usd": _usd(max_charge_nano)}


def _usd(amount_nano: int | None) -> str | None:
    return None if amount_nano is None else format_usd(amount_nano)


def _nano(param: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_usd(text)
    except ValueError as error:
        raise InvalidRequestError(f"{param}: {error}.", param=param) from None
