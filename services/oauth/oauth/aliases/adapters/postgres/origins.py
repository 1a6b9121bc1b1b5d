"""Apps of origins, in the core's table of apps."""

from datetime import datetime
from typing import cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from oauth.adapters.postgres.store import PostgresTransaction
from oauth.aliases.domain.origins import KEEP
from oauth.aliases.domain.ports import Origins
from oauth.domain.ports import OAuthTransaction

# One a consent page waits for is locked by the key of its request; devices never begin with such an app.
_FORGET = text(
    "DELETE FROM apps WHERE id IN (SELECT a.id FROM apps a WHERE a.owner IS NULL AND a.created_at < :before"
    " AND a.auth_method = 'none' AND a.redirect_uris = '{}'"
    " AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.app = a.id)"
    " AND NOT EXISTS (SELECT 1 FROM authorization_requests r WHERE r.app = a.id) LIMIT 1000)"
)


class PostgresOrigins:
    """See the Origins port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def forget_unused(self, now: datetime) -> None:
        """1,000 at a time; whoever refers to one of them meanwhile undoes the round, and the next does it."""
        await self._connection.execute(_FORGET, {"before": now - KEEP})


def origins_in(work: OAuthTransaction) -> Origins:
    """On the connection of the transaction."""
    return PostgresOrigins(cast("PostgresTransaction", work).connection)
