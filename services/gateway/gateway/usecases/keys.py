"""Make, change and revoke API keys. A key is shown once, when it is made, and stored as a digest."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from common.contracts.errors import ConflictError, ForbiddenError, InvalidRequestError, NotFoundError
from common.contracts.identity import KeyCreated, KeyRevoked, KeyUpdated
from common.contracts.oauth import ACCESS_TOKEN_PREFIX
from common.contracts.principals import BudgetPeriod
from common.kit.ids import uuid7
from common.kit.money import MAX_NANO
from gateway.domain.keys import (
    ADMIN_SCOPES,
    KEY_SCOPES,
    MIN_SECRET_LENGTH,
    Key,
    KeyFacts,
    KeyHasher,
    generate_secret,
    prefix_of,
)
from gateway.domain.ports import Identity, IdentityTransaction
from gateway.domain.users import User


class NewKey(msgspec.Struct, frozen=True):
    """A key to make. `secret` None generates one; amounts are nano-USD."""

    name: str
    secret: str | None = None
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


async def create_key(
    identity: Identity, hasher: KeyHasher, caller: KeyFacts, user_id: str, new: NewKey
) -> tuple[Key, str]:
    """The stored key and the secret, which nobody can read again.

    Raises NotFoundError for another user's id unless the caller is an admin, ForbiddenError when the caller's
    key may not make this one, ConflictError when the name or the secret is taken.
    """
    check_may_manage(caller)
    if not caller.is_admin and (new.secret is not None or "admin" in new.scopes):
        raise ForbiddenError("Only an admin may choose the secret or give the scope `admin`.")
    async with identity.transaction() as work:
        user = await lock_owner(work, caller, user_id)
        key, secret = build_key(hasher, user, new)
        if not await work.keys.add(key):
            raise ConflictError("A key with this name or secret exists.", param="name")
        await record_key_created(work, user, key)
        stored = await work.keys.get(key.id)
    return stored or key, secret


async def update_key(identity: Identity, caller: KeyFacts, key_id: str, changes: dict[str, Any]) -> Key:
    """Set the named fields of Key; NotFoundError for another user's key unless the caller is an admin."""
    check_may_manage(caller)
    async with identity.transaction() as work:
        user, key = await _lock_key(work, caller, key_id)
        changed = msgspec.structs.replace(key, **changes)
        check_key(changed)
        if changed != key:
            if changed.name != key.name and await _name_is_taken(work, changed):
                raise ConflictError("A key with this name exists.", param="name")
            await work.keys.update(changed)
            await record_key_updated(work, user, changed)
    return changed


async def revoke_key(identity: Identity, caller: KeyFacts, key_id: str) -> None:
    """End the key for ever; revoking it again changes nothing. NotFoundError as in `update_key`."""
    async with identity.transaction() as work:
        user, key = await _lock_key(work, caller, key_id)
        if key.revoked_at is not None:
            return
        await work.keys.update(msgspec.structs.replace(key, revoked_at=datetime.now(UTC)))
        sequence = await work.next_sequence(user.id)
        work.record(KeyRevoked(uuid7(), sequence, user.id, user.account, key.id))


async def list_keys(identity: Identity, user_id: str | None, after: str | None, limit: int) -> list[Key]:
    """A page of one user's keys, or of all, in the order they were made."""
    async with identity.transaction() as work:
        return await work.keys.list_page(user_id, after, limit)


def check_may_manage(caller: KeyFacts) -> None:
    """A key that was given away with a budget, model list, addresses or an expiry makes no wider ones."""
    if caller.restricted and not caller.is_admin:
        raise ForbiddenError("A restricted key may not make or change keys.")


def check_key(key: Key) -> None:
    """Raises InvalidRequestError naming the field that cannot be."""
    if not key.name.strip() or len(key.name) > 100:
        raise InvalidRequestError("A name has 1 to 100 characters.", param="name")
    for name in ("rpm", "tpm", "concurrency"):
        value = getattr(key, name)
        if value is not None and not 0 <= value < 2**31:
            raise InvalidRequestError("A limit is not negative and not that large.", param=name)
    _check_budget(key)
    if key.scopes not in (KEY_SCOPES, ADMIN_SCOPES, ("relay",)):
        raise InvalidRequestError("Scopes are relay; relay, account; or those and admin.", param="scopes")
    try:
        key.networks()
    except ValueError as error:
        raise InvalidRequestError(f"ips: {error}.", param="ips") from None


def _check_budget(key: Key) -> None:
    if not 0 <= (key.budget_nano or 0) <= MAX_NANO:
        raise InvalidRequestError("A limit is not negative and not that large.", param="budget_usd")
    if not 0 < (1 if key.max_charge_nano is None else key.max_charge_nano) <= MAX_NANO:
        raise InvalidRequestError("A limit is above zero and not that large.", param="max_charge_usd")
    if not 1 <= (1 if key.budget_alert_percent is None else key.budget_alert_percent) <= 100:
        raise InvalidRequestError("An alert is set at 1 to 100 percent.", param="budget_alert_percent")
    try:
        ZoneInfo(key.budget_timezone)
    except (KeyError, ValueError, OSError):
        raise InvalidRequestError("There is no such time zone.", param="budget_timezone") from None


def build_key(hasher: KeyHasher, user: User, new: NewKey) -> tuple[Key, str]:
    """A checked key of the user with its secret."""
    secret = generate_secret() if new.secret is None else new.secret
    if not MIN_SECRET_LENGTH <= len(secret) <= 256 or not (secret.isascii() and secret.isprintable()):
        message = f"A secret has {MIN_SECRET_LENGTH} to 256 printable ASCII characters."
        raise InvalidRequestError(message, param="secret")
    if " " in secret or secret.startswith(ACCESS_TOKEN_PREFIX):
        message = f"A secret has no spaces and does not begin with {ACCESS_TOKEN_PREFIX}."
        raise InvalidRequestError(message, param="secret")
    fields = {name: getattr(new, name) for name in new.__struct_fields__ if name != "secret"}
    key = Key(id=uuid7(), user=user.id, hash=hasher.digest(secret), prefix=prefix_of(secret), **fields)
    check_key(key)
    return key, secret


async def lock_owner(work: IdentityTransaction, caller: KeyFacts, user_id: str) -> User:
    """The user, locked; another tenant's user is indistinguishable from none."""
    user = await work.users.lock(user_id) if caller.is_admin or caller.user == user_id else None
    if user is None:
        raise NotFoundError("No such user.")
    return user


async def record_key_created(work: IdentityTransaction, user: User, key: Key) -> None:
    """The event of a new key, in the transaction that stores it."""
    sequence = await work.next_sequence(user.id)
    work.record(KeyCreated(uuid7(), sequence, user.id, user.account, key.id, key.name, key.prefix))


async def record_key_updated(work: IdentityTransaction, user: User, key: Key) -> None:
    """The event of a change, which makes every replica forget the key."""
    sequence = await work.next_sequence(user.id)
    work.record(KeyUpdated(uuid7(), sequence, user.id, user.account, key.id))


async def _lock_key(work: IdentityTransaction, caller: KeyFacts, key_id: str) -> tuple[User, Key]:
    key = await work.keys.get(key_id)
    if key is None or not (caller.is_admin or caller.user == key.user):
        raise NotFoundError("No such key.")
    user = await lock_owner(work, caller, key.user)
    locked = await work.keys.get(key_id)  # as it is now that nobody else changes it
    return user, locked or key


async def _name_is_taken(work: IdentityTransaction, key: Key) -> bool:
    other = await work.keys.find(key.user, key.name)
    return other is not None and other.id != key.id and other.revoked_at is None
