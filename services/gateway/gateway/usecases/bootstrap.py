"""Apply the gateway's part of the bootstrap file: groups, users and their keys.

Applying it again changes only what the file now says differently. What the file does not name stays; a key
that was revoked stays revoked. Two replicas may apply it at once: unique constraints and the lock on the
user's row put them one after the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from common.contracts.bootstrap import Bootstrap, KeySpec, UserSpec
from common.contracts.errors import ServiceError
from common.kit.bootstrap import BootstrapError
from common.kit.ids import uuid7
from common.kit.money import parse_rate, parse_usd
from gateway.domain.groups import Group
from gateway.domain.keys import Key, KeyHasher
from gateway.domain.ports import GeneratedKeys, Identity, IdentityTransaction, Notices, Passwords
from gateway.domain.users import User, normal_email
from gateway.usecases.keys import NewKey, build_key, check_key, record_key_created, record_key_updated
from gateway.usecases.users import record_created, record_updated


class Applier(msgspec.Struct, frozen=True):
    """What applying the file needs."""

    identity: Identity
    passwords: Passwords
    hasher: KeyHasher
    generated: GeneratedKeys
    notices: Notices


def check_bootstrap(hasher: KeyHasher, bootstrap: Bootstrap) -> None:
    """Raises BootstrapError on a rate, address, limit, moment or secret that cannot be, before the start."""
    _groups(bootstrap)
    for spec in bootstrap.users:
        with _blaming(spec):
            nobody = User(uuid7(), uuid7(), normal_email(spec.email), spec.role, spec.group)
            for key in spec.keys:
                build_key(hasher, nobody, _new_key(key))


async def apply_bootstrap(applier: Applier, bootstrap: Bootstrap) -> None:
    """Raises BootstrapError naming the user or key that cannot be applied; what came before it is applied."""
    async with applier.identity.transaction() as work:
        changed = [await work.groups.put(group) for group in _groups(bootstrap)]
        for plan in bootstrap.plans:
            if plan.group is not None and await work.groups.get(plan.group) is None:
                raise BootstrapError(f"plan {plan.name}: there is no group `{plan.group}`")
    if any(changed):
        await applier.notices.groups_changed()
    for spec in bootstrap.users:
        with _blaming(spec):
            await _apply_user(applier, spec)


async def _apply_user(applier: Applier, spec: UserSpec) -> None:
    email = normal_email(spec.email)
    async with applier.identity.transaction() as work:
        known = await work.users.find(email)
    # Hashing is slow on purpose, so it is done outside the transaction and only when the password is new.
    password_hash = seen_hash = None if known is None else known.password_hash
    if spec.password and not (password_hash and await applier.passwords.verify(spec.password, password_hash)):
        password_hash = await applier.passwords.hash(spec.password)
    async with applier.identity.transaction() as work:
        if await work.groups.get(spec.group) is None:
            raise BootstrapError(f"user {spec.email}: there is no group `{spec.group}`")
        declared = User(uuid7(), uuid7(), email, spec.role, spec.group, password_hash)
        user = await _put_user(work, declared, seen_hash)
        for key in spec.keys:
            await _put_key(applier, work, user, key)


async def _put_user(work: IdentityTransaction, declared: User, seen_hash: str | None) -> User:
    if await work.users.add(declared):
        await record_created(work, declared)
        return declared
    found = await work.users.find(declared.email)
    user = None if found is None else await work.users.lock(found.id)
    if user is None:
        raise BootstrapError(f"user {declared.email} was removed meanwhile")
    # A hash that another replica stored meanwhile is of the same password under another salt.
    password_hash = declared.password_hash if user.password_hash == seen_hash else user.password_hash
    changed = msgspec.structs.replace(
        user, role=declared.role, group=declared.group, password_hash=password_hash
    )
    if changed != user:
        await work.users.update(changed)
        await record_updated(work, changed)
    return changed


async def _put_key(applier: Applier, work: IdentityTransaction, user: User, spec: KeySpec) -> None:
    declared = _new_key(spec)
    known = await work.keys.find(user.id, spec.name)
    if known is None:
        key, secret = build_key(applier.hasher, user, declared)
        if not await work.keys.add(key):
            raise BootstrapError(f"user {user.email}, key `{spec.name}`: its secret is another key's")
        await record_key_created(work, user, key)
        if spec.secret is None:
            # Before the commit: a key that nobody was told is worse than a line for a key that is not there.
            await applier.generated.write(user.email, spec.name, secret)
        return
    if known.revoked_at is None:
        await _update_key(applier, work, user, known, declared)


async def _update_key(
    applier: Applier, work: IdentityTransaction, user: User, known: Key, declared: NewKey
) -> None:
    if declared.secret is not None and applier.hasher.digest(declared.secret) != known.hash:
        raise BootstrapError(
            f"user {user.email}, key `{known.name}`: it has another secret; give a new key a new name"
        )
    names = ["rpm", "tpm", "concurrency", "models", "ips", "expires_at", "budget_nano"]
    names += ["budget_alert_percent", "max_charge_nano"]
    if declared.budget_nano is not None:
        names += ["budget_period", "budget_timezone"]
    fields = {name: getattr(declared, name) for name in names}
    # A limit the file does not name may have been set by other means, and stays.
    changed = msgspec.structs.replace(
        known, **{name: value for name, value in fields.items() if value is not None}
    )
    check_key(changed)
    if changed != known:
        await work.keys.update(changed)
        await record_key_updated(work, user, changed)


@contextmanager
def _blaming(spec: UserSpec) -> Iterator[None]:
    try:
        yield
    except (ServiceError, ValueError) as error:
        raise BootstrapError(f"user {spec.email}: {error}") from error


def _groups(bootstrap: Bootstrap) -> list[Group]:
    try:
        return [Group(spec.name, parse_rate(spec.rate)) for spec in bootstrap.groups]
    except ValueError as error:
        raise BootstrapError(f"groups: {error}") from None


def _new_key(spec: KeySpec) -> NewKey:
    return NewKey(
        name=spec.name,
        secret=spec.secret,
        rpm=spec.rpm,
        tpm=spec.tpm,
        concurrency=spec.concurrency,
        models=spec.models,
        ips=spec.ips,
        expires_at=_moment(spec.expires_at),
        budget_nano=None if spec.budget_usd is None else parse_usd(spec.budget_usd),
        budget_period=spec.budget_period,
        budget_timezone=spec.budget_timezone,
        budget_alert_percent=spec.budget_alert_percent,
        max_charge_nano=None if spec.max_charge_usd is None else parse_usd(spec.max_charge_usd),
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
