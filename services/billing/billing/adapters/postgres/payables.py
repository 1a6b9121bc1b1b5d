"""What is owed to apps, read from PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy import text

from common.contracts.holds import APP_PAYABLE
from common.kit.db import Database

# What an app is owed is what its charges say it got, less what was given back and what it was paid.
PAYABLES_CHECK = """
    WITH apps AS (
        SELECT id, name, credits - debits AS balance FROM accounts WHERE starts_with(name, 'app_payable:')
    ), archived AS (
        SELECT DISTINCT ON (account) account, credits - debits AS balance FROM close_balances
        WHERE month < CAST(:since AS timestamptz) AT TIME ZONE 'UTC' ORDER BY account, month DESC
    ), earned AS (
        SELECT share.key AS name, sum(share.value::bigint) AS amount
        FROM holds AS h CROSS JOIN LATERAL jsonb_each_text(h.credits) AS share
        WHERE h.resolved_at >= :since AND starts_with(share.key, 'app_payable:') GROUP BY share.key
    ), told AS (
        SELECT share.key AS name, sum(share.value::bigint) AS amount
        FROM holds AS h CROSS JOIN LATERAL jsonb_each_text(h.refunds) AS share GROUP BY share.key
    ), left_ AS (
        SELECT debit_account AS account, sum(amount) AS amount,
            coalesce(sum(amount) FILTER (WHERE kind = 'hold_refund'), 0) AS refunded
        FROM transfers WHERE kind IN ('hold_refund', 'app_payout') AND posted_at >= :since
        GROUP BY debit_account
    ), compared AS (
        SELECT coalesce(a.name, e.name) AS name, a.balance,
            a.balance IS DISTINCT FROM coalesce(o.balance, 0) + coalesce(e.amount, 0) - coalesce(l.amount, 0)
                AS wrong,
            CAST(:since AS timestamptz) <= 'epoch' AND coalesce(t.amount, 0) <> coalesce(l.refunded, 0)
                AS unrefunded
        FROM apps AS a FULL JOIN earned AS e ON e.name = a.name
            LEFT JOIN told AS t ON t.name = a.name
            LEFT JOIN archived AS o ON o.account = a.id LEFT JOIN left_ AS l ON l.account = a.id
    )
    SELECT count(*) AS apps, coalesce(sum(balance), 0) AS owed_nano,
        count(*) FILTER (WHERE wrong) AS bad_balances, count(*) FILTER (WHERE unrefunded) AS bad_refunds,
        min(name) FILTER (WHERE wrong OR unrefunded) AS first
    FROM compared
"""
_READ = text("SELECT name, credits - debits FROM accounts WHERE name = ANY(:names)")


class PostgresPayables:
    """See domain.ports.PayableReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, apps: Sequence[str]) -> dict[str, int]:
        """By the unique name."""
        names = [APP_PAYABLE + app for app in apps]
        async with self._database.transaction() as connection:
            rows = await connection.execute(_READ, {"names": names})
            return {name.removeprefix(APP_PAYABLE): balance for name, balance in rows}
