"""Make and change people. A person gets an account, whose wallet billing opens when money first comes."""

import msgspec

from common.contracts.errors import ConflictError, InvalidRequestError, NotFoundError
from common.contracts.identity import UserCreated, UserFound, UserUpdated
from common.kit.ids import uuid7
from gateway.domain.groups import DEFAULT
from gateway.domain.ports import Identity, IdentityTransaction, Passwords
from gateway.domain.users import Role, User, normal_email

MIN_PASSWORD_LENGTH = 8


class NewUser(msgspec.Struct, frozen=True):
    """What is known of a person before they have ids."""

    email: str
    password: str | None = None
    role: Role = "user"
    group: str = DEFAULT


class UserChange(msgspec.Struct, frozen=True):
    """What to change; None leaves a field as it is."""

    password: str | None = None
    role: Role | None = None
    group: str | None = None
    enabled: bool | None = None


async def create_user(identity: Identity, passwords: Passwords, new: NewUser) -> User:
    """Raises InvalidRequestError on a bad address, password or group, ConflictError on a taken address."""
    try:
        email = normal_email(new.email)
    except ValueError as error:
        raise InvalidRequestError(f"email: {error}.", param="email") from None
    password_hash = await _hash(passwords, new.password)
    user = User(uuid7(), uuid7(), email, new.role, new.group, password_hash)
    async with identity.transaction() as work:
        await _check_group(work, user.group)
        if not await work.users.add(user):
            raise ConflictError("A user with this e-mail address exists.", param="email")
        await record_created(work, user)
        stored = await work.users.get(user.id)
    return stored or user


async def update_user(identity: Identity, passwords: Passwords, user_id: str, change: UserChange) -> User:
    """Raises NotFoundError, or InvalidRequestError on a bad password or group."""
    password_hash = await _hash(passwords, change.password)
    async with identity.transaction() as work:
        user = await work.users.lock(user_id)
        if user is None:
            raise NotFoundError("No such user.")
        changed = msgspec.structs.replace(
            user,
            role=user.role if change.role is None else change.role,
            group=user.group if change.group is None else change.group,
            enabled=user.enabled if change.enabled is None else change.enabled,
            password_hash=password_hash or user.password_hash,
        )
        await _check_group(work, changed.group)
        if changed != user:
            await work.users.update(changed)
            if password_hash or not changed.enabled:
                await work.sessions.remove_all(changed.id)
            await record_updated(work, changed)
    return changed


async def get_user(identity: Identity, user_id: str) -> User:
    """Raises NotFoundError."""
    async with identity.transaction() as work:
        user = await work.users.get(user_id)
    if user is None:
        raise NotFoundError("No such user.")
    return user


async def list_users(identity: Identity, after: str | None, limit: int) -> list[User]:
    """A page in the order they were made."""
    async with identity.transaction() as work:
        return await work.users.list_page(after, limit)


async def search_users(identity: Identity, email: str) -> list[User]:
    """The user with this address, any case, if there is one."""
    async with identity.transaction() as work:
        user = await work.users.find(email.strip())
    return [] if user is None else [user]


async def find_user(identity: Identity, email: str) -> UserFound:
    """By address, any case; raises NotFoundError."""
    async with identity.transaction() as work:
        user = await work.users.find(email.strip())
    if user is None:
        raise NotFoundError("No user has this e-mail address.")
    return UserFound(user.id, user.account, user.email)


async def record_created(work: IdentityTransaction, user: User) -> None:
    """The event of a new person, in the transaction that stores them."""
    sequence = await work.next_sequence(user.id)
    work.record(UserCreated(uuid7(), sequence, user.id, user.account, user.group))


async def record_updated(work: IdentityTransaction, user: User) -> None:
    """The event of a change, which makes every replica forget the user's keys."""
    sequence = await work.next_sequence(user.id)
    work.record(UserUpdated(uuid7(), sequence, user.id, user.account))


async def _hash(passwords: Passwords, password: str | None) -> str | None:
    if password is None:
        return None
    if len(password) < MIN_PASSWORD_LENGTH:
        message = f"A password has at least {MIN_PASSWORD_LENGTH} characters."
        raise InvalidRequestError(message, param="password")
    return await passwords.hash(password)


async def _check_group(work: IdentityTransaction, group: str) -> None:
    if await work.groups.get(group) is None:
        raise InvalidRequestError("There is no such group.", param="group")
