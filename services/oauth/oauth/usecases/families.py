"""The end of a family of tokens, told in the transaction in which it happens."""

from datetime import datetime

from common.contracts.oauth import TokensRevoked
from common.kit.ids import uuid7
from oauth.domain.apps import App
from oauth.domain.grants import Grant, RevokedBy
from oauth.domain.ports import OAuthTransaction


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
