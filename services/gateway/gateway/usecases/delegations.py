"""Management keys that people let OAuth apps hold."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from common.contracts.errors import NotFoundError
from common.contracts.identity import KeyDelegate, KeyDelegated, KeyRevoked
from common.contracts.oauth import GrantRevoked
from common.kit.ids import uuid7
from gateway.domain.keys import Key, KeyHasher
from gateway.domain.ports import Identity, IdentityTransaction
from gateway.domain.users import User
from gateway.usecases.keys import NewKey, build_key, record_key_created


async def delegate_key(identity: Identity, hasher: KeyHasher, asked: KeyDelegate) -> KeyDelegated:
    """What `asked` wishes; the secret only of a key that is new. NotFoundError for no such enabled user."""
    async with identity.transaction() as work:
        user = await work.users.lock(asked.user) if _is_id(asked.user) else None
        if user is None or not user.enabled:
            raise NotFoundError("No such user.")
        if asked.wish == "get" and await _find_live(work, user, asked.app) is not None:
            return KeyDelegated()
        await _end(work, user, asked.app)
        if asked.wish == "end":
            return KeyDelegated()
        key, secret = build_key(hasher, user, NewKey(_name(asked.app)))
        await work.keys.add(key)
        await record_key_created(work, user, key)
    return KeyDelegated(secret)


async def end_delegations(identity: Identity, events: Sequence[GrantRevoked]) -> None:
    """End what apps hold whose grants have ended; the same event again changes nothing."""
    async with identity.transaction() as work:
        for event in sorted(events, key=lambda event: event.user):
            user = await work.users.lock(event.user) if _is_id(event.user) else None
            if user is not None:
                await _end(work, user, event.app)


async def _end(work: IdentityTransaction, user: User, app: str) -> None:
    key = await _find_live(work, user, app)
    if key is None:
        return
    await work.keys.update(msgspec.structs.replace(key, revoked_at=datetime.now(UTC)))
    sequence = await work.next_sequence(user.id)
    work.record(KeyRevoked(uuid7(), sequence, user.id, user.account, key.id))


async def _find_live(work: IdentityTransaction, user: User, app: str) -> Key | None:
    key = await work.keys.find(user.id, _name(app))
    return key if key is not None and key.revoked_at is None else None


def _name(app: str) -> str:
    """What the person sees among their keys, within what a name may be."""
    return f"OAuth app {app}"[:100]


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
