"""The table of memberships, as billing told them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.plans import Membership

# Events of one account may come again or out of order; the newest of them counts.
_PUT = text(
    "INSERT INTO memberships (account, plan, until, sequence) VALUES (:account, :plan, :until, :sequence)"
    " ON CONFLICT (account) DO UPDATE SET plan = excluded.plan, until = excluded.until,"
    " sequence = excluded.sequence WHERE memberships.sequence < excluded.sequence"
)
_GET = text("SELECT plan, until, sequence FROM memberships WHERE account = CAST(:account AS uuid)")


class PostgresMemberships:
    """See the Memberships port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, membership: Membership) -> bool:
        """False when something newer is known."""
        values = {
            "account": membership.account,
            "plan": membership.plan,
            "until": membership.until,
            "sequence": membership.sequence,
        }
        return (await self._connection.execute(_PUT, values)).rowcount == 1

    async def get(self, account: str) -> Membership | None:
        """By account."""
        row = (await self._connection.execute(_GET, {"account": account})).one_or_none()
        return None if row is None else Membership(account, row.plan, row.until, row.sequence)
