"""Families of tokens: whether one counts, and its end, told in the transaction in which it happens."""

from datetime import datetime

from common.contracts.oauth import TokensRevoked
from common.kit.ids import uuid7
from oauth.domain.apps import App
from oauth.domain.grants import Grant, Person, RevokedBy
from oauth.domain.ports import OAuthTransaction
from oauth.domain.tokens import Family


async def find_standing(work: OAuthTransaction, family: Family, now: datetime) -> tuple[Grant, Person] | None:
    """What the family stands on; None when it, its grant or its person counts no more."""
    grant = await work.grants.get(family.grant)
    if grant is None or grant.revoked_at is not None or _has_passed(grant.spending.expires_at, now):
        return None
    person = await work.people.get(grant.user)
    if person is None or not person.enabled or family.revoked_at is not None:
        return None
    return None if _has_passed(family.expires_at, now) else (grant, person)


async def end_family(
    work: OAuthTransaction, family: str, grant: Grant, app: App, by: RevokedBy, now: datetime
) -> None:
    """End all its tokens and tell; nothing when it had ended. Locks the person first, as consent does."""
    await work.grants.find_live(grant.app, grant.user)
    if await work.tokens.revoke_family(family, now):
        await record_tokens_revoked(work, grant, app, by)


async def record_tokens_revoked(work: OAuthTransaction, grant: Grant, app: App, by: RevokedBy) -> None:
    """The event that makes every replica forget the tokens of the grant and ask again."""
    person = await work.people.get(grant.user)
    account = "" if person is None else person.account
    sequence = await work.next_sequence(grant.user)
    work.record(TokensRevoked(uuid7(), sequence, grant.user, account, grant.id, app.client_id, by))


def _has_passed(end: datetime | None, now: datetime) -> bool:
    return end is not None and end <= now
