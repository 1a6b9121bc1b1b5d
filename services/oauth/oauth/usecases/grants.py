"""What happens to grants, told in the transaction in which it happens."""

from datetime import datetime

from common.contracts.oauth import GrantCreated, GrantRevoked, GrantUpdated
from common.kit.ids import uuid7
from common.kit.money import format_usd
from oauth.domain.apps import App
from oauth.domain.grants import Grant, RevokedBy
from oauth.domain.ports import OAuthTransaction


async def record_grant(
    work: OAuthTransaction, kind: type[GrantCreated | GrantUpdated], grant: Grant, app: App, account: str
) -> None:
    """The event of a grant made or changed; caches of every replica follow it."""
    spending = grant.spending
    sequence = await work.next_sequence(grant.user)
    event = kind(
        id=uuid7(),
        sequence=sequence,
        user=grant.user,
        account=account,
        grant=grant.id,
        app=app.client_id,
        scopes=grant.scopes,
        limit=None if spending.limit_nano is None else format_usd(spending.limit_nano),
        period=spending.period,
        max_per_charge=None if spending.max_charge_nano is None else format_usd(spending.max_charge_nano),
        expires_at=None if spending.expires_at is None else spending.expires_at.isoformat(),
    )
    work.record(event)


async def revoke_grant(
    work: OAuthTransaction, grant: Grant, app: App, by: RevokedBy, now: datetime
) -> Grant | None:
    """End the grant and all its tokens, and tell; None when it had ended."""
    live = await work.grants.find_live(grant.app, grant.user)
    if live is None or live.id != grant.id or not await work.grants.revoke(grant.id, by, now):
        return None
    await work.tokens.revoke_families(grant.id, now)
    person = await work.people.get(grant.user)
    account = "" if person is None else person.account
    sequence = await work.next_sequence(grant.user)
    work.record(GrantRevoked(uuid7(), sequence, grant.user, account, grant.id, app.client_id, by))
    return await work.grants.get(grant.id)
