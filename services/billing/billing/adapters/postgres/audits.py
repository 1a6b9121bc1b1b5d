"""The audit in PostgreSQL: one statement per check, all in one snapshot, exact to the nano-USD.

Every statement gives one row. A column named `bad_…` counts violations, `first` shows one of them, and the
others are numbers for people. `:since` and `:until` bound the transfers and charges that are looked at by
`posted_at`, so that only the months of a period are read; months that were detached are stood in for by the
balances of the last close before them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.postgres.archives import ARCHIVED_UNTIL
from billing.adapters.postgres.holds import HOLDS_CHECK
from billing.adapters.postgres.inbox import USAGE_INBOX
from billing.adapters.postgres.payables import PAYABLES_CHECK
from billing.adapters.postgres.refunds import REFUNDS_CHECK
from billing.domain.audits import BEGINNING, END, AuditCheck, MoreCheck, Period
from common.kit.db import Database

_CONSERVATION = """
    SELECT count(*) AS currencies, count(*) FILTER (WHERE total <> 0) AS bad_currencies,
        min(currency || ' ' || total) FILTER (WHERE total <> 0) AS first
    FROM (SELECT currency, sum(credits::numeric - debits) AS total FROM accounts GROUP BY currency) AS t
"""
_COUNTERS = """
    WITH sides AS (
        SELECT debit_account AS account, sum(amount) AS debits, 0::numeric AS credits
        FROM transfers GROUP BY debit_account
        UNION ALL
        SELECT credit_account, 0, sum(amount) FROM transfers GROUP BY credit_account
        UNION ALL
        SELECT account, debits, credits FROM (
            SELECT DISTINCT ON (account) account, debits, credits FROM close_balances
            WHERE month < CAST(:since AS timestamptz) AT TIME ZONE 'UTC'
            ORDER BY account, month DESC) AS archived
    ), sums AS (
        SELECT account, sum(debits) AS debits, sum(credits) AS credits FROM sides GROUP BY account
    ), compared AS (
        SELECT coalesce(a.name, 'account ' || s.account) AS name,
            a.id IS NULL OR a.debits <> coalesce(s.debits, 0) OR a.credits <> coalesce(s.credits, 0) AS wrong
        FROM accounts AS a FULL JOIN sums AS s ON s.account = a.id
    )
    SELECT count(*) AS accounts, count(*) FILTER (WHERE wrong) AS bad_accounts,
        min(name) FILTER (WHERE wrong) AS first
    FROM compared
"""
_HELD = """
    WITH parts AS (
        SELECT account, spender, granted_nano - spent_nano - returned_nano AS remaining
        FROM leases WHERE state <> 'expired'
        UNION ALL SELECT account, spender, amount_nano FROM holds WHERE state = 'open'
    ), open AS (
        SELECT account, spender, sum(remaining) AS remaining FROM parts GROUP BY account, spender
    ), by_account AS (
        SELECT coalesce(a.customer, o.account) AS owner,
            coalesce(a.credits - a.debits, 0) <> coalesce(o.remaining, 0) AS wrong
        FROM (SELECT * FROM accounts WHERE kind = 'held') AS a
        FULL JOIN (SELECT account, sum(remaining) AS remaining FROM open GROUP BY account) AS o
            ON o.account = a.customer
    ), by_spender AS (
        SELECT coalesce(s.id, o.spender) AS owner,
            coalesce(s.held_nano, 0) <> coalesce(o.remaining, 0) AS wrong
        FROM spenders AS s FULL JOIN open AS o ON o.spender = s.id AND o.account = s.account
    )
    SELECT (SELECT coalesce(sum(remaining), 0) FROM open) AS held_nano,
        (SELECT count(*) FROM by_account WHERE wrong) AS bad_accounts,
        (SELECT count(*) FROM by_spender WHERE wrong) AS bad_spenders,
        (SELECT min(owner::text) FROM (TABLE by_account UNION ALL TABLE by_spender) AS t WHERE wrong) AS first
"""
# Half to even, as common.kit.money rounds: 10^9 pico-USD x millionths are one nano-USD.
_CHARGES = """
    WITH costs AS (
        SELECT id, cost_nano, from_held_nano, overage_nano, uncollected_nano, exact
        FROM usage_records AS r CROSS JOIN LATERAL (
            SELECT r.rate_micro
                * coalesce(sum(q.value::numeric * coalesce((r.unit_pico ->> q.key)::numeric, 0)), 0) AS exact
            FROM jsonb_each_text(r.quantities) AS q
        ) AS arithmetic
        WHERE posted_at >= :since AND posted_at < :until AND started_at < :started_until
    ), records AS (
        SELECT id, count(*) AS times, sum(from_held_nano) AS from_held, sum(overage_nano) AS overage,
            sum(uncollected_nano) AS uncollected, sum(cost_nano) AS cost, bool_or(cost_nano
                <> div(exact, 1000000000) + CASE
                    WHEN 2 * mod(exact, 1000000000) > 1000000000 THEN 1
                    WHEN 2 * mod(exact, 1000000000) = 1000000000 THEN mod(div(exact, 1000000000), 2)
                    ELSE 0 END
                OR cost_nano <> from_held_nano + overage_nano + uncollected_nano) AS wrong_cost
        FROM costs GROUP BY id
    ), payments AS (
        SELECT reference, coalesce(sum(amount) FILTER (WHERE kind = 'usage'), 0) AS from_held,
            coalesce(sum(amount) FILTER (WHERE kind = 'overage'), 0) AS overage,
            coalesce(sum(amount) FILTER (WHERE kind = 'uncollected'), 0) AS uncollected
        FROM transfers WHERE kind IN ('usage', 'overage', 'uncollected')
            AND posted_at >= :since AND posted_at < :until
        GROUP BY reference
    ), compared AS (
        SELECT r.id, p.reference, r.cost, r.times > 1 AS twice, r.wrong_cost,
            r.id IS NOT NULL AND (r.from_held, r.overage, r.uncollected) IS DISTINCT FROM
                (coalesce(p.from_held, 0), coalesce(p.overage, 0), coalesce(p.uncollected, 0)) AS unpaid
        FROM records AS r FULL JOIN payments AS p ON p.reference = r.id
    )
    SELECT count(id) AS records, coalesce(sum(cost), 0) AS cost_nano,
        count(*) FILTER (WHERE twice) AS bad_charged_twice,
        count(*) FILTER (WHERE wrong_cost) AS bad_cost,
        count(*) FILTER (WHERE unpaid) AS bad_transfers,
        count(*) FILTER (WHERE id IS NULL) AS bad_without_record,
        min(coalesce(id, reference)::text) FILTER (WHERE twice OR wrong_cost OR unpaid OR id IS NULL) AS first
    FROM compared
"""
_BALANCES = """
    WITH entries AS (
        SELECT debit_account AS account, position, debit_after AS after FROM transfers
        UNION ALL
        SELECT credit_account, position, credit_after FROM transfers
    ), extremes AS (
        SELECT account, min(after) AS lowest, (max(ARRAY[position, after]))[2] AS last
        FROM entries GROUP BY account
    )
    SELECT count(*) AS accounts,
        count(*) FILTER (WHERE e.lowest < 0 AND a.kind <> 'platform') AS bad_below_zero,
        count(*) FILTER (WHERE e.last <> a.credits - a.debits) AS bad_last_balance,
        min(a.name) FILTER (
            WHERE (e.lowest < 0 AND a.kind <> 'platform') OR e.last <> a.credits - a.debits) AS first
    FROM extremes AS e JOIN accounts AS a ON a.id = e.account
"""
_SEQUENCES = """
    WITH told AS (
        SELECT account, count(DISTINCT sequence) AS distinct_, count(*) AS total, min(sequence) AS first_,
            max(sequence) AS last_
        FROM usage_records GROUP BY account
    ), usage AS (
        SELECT coalesce(c.account, t.account) AS account,
            (coalesce(t.last_, 0) <> coalesce(c.usage_sequence, 0)
                AND (t.account IS NOT NULL OR CAST(:since AS timestamptz) <= 'epoch')) OR coalesce(
                t.distinct_ <> t.total OR t.total <> t.last_ - t.first_ + 1, false) AS wrong
        FROM customers AS c FULL JOIN told AS t ON t.account = c.account
    ), waiting AS (
        SELECT right(event ->> 1, 36) AS account, split_part(event ->> 1, '.', 1) AS stream,
            max((event ->> 2)::bigint) AS last_,
            count(*) - count(DISTINCT (event ->> 2)::bigint) AS repeated
        FROM outbox, json_array_elements(outbox.events::json) AS event GROUP BY 1, 2
    ), events AS (
        SELECT w.account, w.repeated > 0 OR w.last_ > coalesce(
            CASE w.stream WHEN 'usage' THEN c.usage_sequence ELSE c.billing_sequence END, 0) AS wrong
        FROM waiting AS w LEFT JOIN customers AS c ON c.account = w.account::uuid
    )
    SELECT (SELECT count(*) FROM usage) AS accounts,
        (SELECT count(*) FROM usage WHERE wrong) AS bad_usage_sequences,
        (SELECT count(*) FROM events WHERE wrong) AS bad_waiting_events,
        (SELECT min(account) FROM (
            SELECT account::text FROM usage WHERE wrong
            UNION ALL SELECT account FROM events WHERE wrong) AS t) AS first
"""
_DELIVERY = """
    SELECT (SELECT coalesce(sum(json_array_length(outbox.events::json)), 0) FROM outbox) AS events_waiting,
        (SELECT coalesce(extract(epoch FROM now() - min(created_at))::bigint, 0) FROM outbox)
            AS oldest_waiting_s,
        (SELECT count(*) FROM inbox WHERE consumer = :consumer) AS claims,
        (SELECT count(*) FROM inbox AS i WHERE i.consumer = :consumer
            AND NOT EXISTS (SELECT FROM usage_records AS r WHERE r.id = i.id)) AS bad_claims,
        (SELECT count(*) FROM usage_records AS r WHERE r.posted_at > now() - interval '13 days'
            AND NOT EXISTS (SELECT FROM inbox AS i WHERE i.consumer = :consumer AND i.id = r.id))
            AS bad_unclaimed,
        (SELECT min(i.id::text) FROM inbox AS i WHERE i.consumer = :consumer
            AND NOT EXISTS (SELECT FROM usage_records AS r WHERE r.id = i.id)) AS first
"""
# What the first entry of the period stood on, plus what moved, is what the last entry left. At the edges it
# must also be what the close before the period said, and, in the present, what the account says.
_MOVEMENTS = """
    WITH entries AS (
        SELECT debit_account AS account, position, -amount AS moved, debit_after AS after
        FROM transfers WHERE posted_at >= :since AND posted_at < :until
        UNION ALL
        SELECT credit_account, position, amount, credit_after
        FROM transfers WHERE posted_at >= :since AND posted_at < :until
    ), moves AS (
        SELECT account, sum(moved) AS moved, min(after) AS lowest,
            (min(ARRAY[position, after - moved]))[2] AS opening,
            (max(ARRAY[position, after]))[2] AS closing
        FROM entries GROUP BY account
    ), known AS (
        SELECT DISTINCT ON (account) account, credits - debits AS balance FROM close_balances
        WHERE month < CAST(:since AS timestamptz) AT TIME ZONE 'UTC' ORDER BY account, month DESC
    ), compared AS (
        SELECT coalesce(a.name, 'account ' || m.account) AS name, m.moved,
            m.opening + m.moved <> m.closing AS bad_sum,
            m.lowest < 0 AND a.kind IS DISTINCT FROM 'platform' AS below_zero,
            :follows_close AND m.opening <> coalesce(k.balance, 0) AS bad_opening,
            :to_now AND m.closing IS DISTINCT FROM a.credits - a.debits AS bad_closing
        FROM moves AS m LEFT JOIN accounts AS a ON a.id = m.account
            LEFT JOIN known AS k ON k.account = m.account
    )
    SELECT count(*) AS accounts, coalesce(sum(abs(moved)), 0) AS net_moved_nano,
        coalesce(sum(moved), 0) AS bad_total,
        count(*) FILTER (WHERE bad_sum) AS bad_sums, count(*) FILTER (WHERE below_zero) AS bad_below_zero,
        count(*) FILTER (WHERE bad_opening) AS bad_openings,
        count(*) FILTER (WHERE bad_closing) AS bad_closings,
        min(name) FILTER (WHERE bad_sum OR below_zero OR bad_opening OR bad_closing) AS first
    FROM compared
"""
_PERIOD_SEQUENCES = """
    WITH told AS (
        SELECT account, count(DISTINCT sequence) AS distinct_, count(*) AS total, min(sequence) AS first_,
            max(sequence) AS last_
        FROM usage_records
        WHERE posted_at >= :since AND posted_at < :until AND started_at < :started_until GROUP BY account
    )
    SELECT count(*) AS accounts,
        count(*) FILTER (WHERE distinct_ <> total OR total <> last_ - first_ + 1) AS bad_usage_sequences,
        min(account::text) FILTER (WHERE distinct_ <> total OR total <> last_ - first_ + 1) AS first
    FROM told
"""
_FREE = """
    WITH labelled AS (
        SELECT c.account, c.free_nano > coalesce(sum(a.credits - a.debits), 0) AS wrong
        FROM customers AS c LEFT JOIN accounts AS a ON a.customer = c.account
        WHERE c.free_nano > 0 GROUP BY c.account, c.free_nano
    )
    SELECT count(*) AS accounts, count(*) FILTER (WHERE wrong) AS bad_more_than_money,
        min(account::text) FILTER (WHERE wrong) AS first
    FROM labelled
"""
CHECKS = {
    "conservation": _CONSERVATION,
    "counters": _COUNTERS,
    "held": _HELD,
    "holds": HOLDS_CHECK,
    "payables": PAYABLES_CHECK,
    "charges": _CHARGES,
    "refunds": REFUNDS_CHECK,
    "balances": _BALANCES,
    "free": _FREE,
    "sequences": _SEQUENCES,
    "delivery": _DELIVERY,
}
PERIOD_CHECKS = {
    "movements": _MOVEMENTS,
    "charges": _CHARGES,
    "sequences": _PERIOD_SEQUENCES,
}
_EDGES = text(
    "SELECT EXISTS (SELECT FROM closes WHERE (month + interval '1 month') AT TIME ZONE 'UTC' = :since)"
    " AS follows_close, NOT EXISTS (SELECT FROM transfers WHERE posted_at >= :until) AS to_now"
)
_SKEW = timedelta(days=1)
"""A relay's clock may be ahead of the ledger's by this much."""
_BILLED = text(
    "SELECT request_id, quantities FROM usage_records AS r"
    " JOIN unnest(CAST(:ids AS text[])) AS wanted (id) ON wanted.id = r.request_id"
)


class PostgresAuditor:
    """See domain.ports.Auditor."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._more: list[MoreCheck] = []

    def add(self, check: MoreCheck) -> None:
        """See domain.ports.Auditor."""
        self._more.append(check)

    async def run(self, period: Period | None = None) -> list[AuditCheck]:
        """Every check of CHECKS or PERIOD_CHECKS, in one snapshot: traffic does not look like an error."""
        checks = []
        async with self._database.transaction() as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            await connection.execute(text("SET LOCAL work_mem = '256MB'"))
            bounds = await _bounds(connection, period)
            for name, statement in (CHECKS if period is None else PERIOD_CHECKS).items():
                values = {key: value for key, value in bounds.items() if f":{key}" in statement}
                row = (await connection.execute(text(statement), values)).mappings().one()
                ok = not any(value for column, value in row.items() if column.startswith("bad_"))
                shown = [f"{column}={_plain(value)}" for column, value in row.items() if value is not None]
                checks.append(AuditCheck(name, ok, ", ".join(shown)))
        checks.extend([await check(period) for check in self._more])
        return checks

    async def billed(self, request_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """See domain.ports.Auditor; one pass over the records, since request ids are not unique."""
        billed: dict[str, dict[str, int]] = {}
        async with self._database.transaction() as connection:
            for request_id, quantities in await connection.execute(_BILLED, {"ids": list(set(request_ids))}):
                units = billed.setdefault(request_id, {})
                for unit, quantity in quantities.items():
                    units[unit] = units.get(unit, 0) + quantity
        return billed


def _plain(value: object) -> object:
    """Sums are numeric, which would be shown with an exponent."""
    return int(value) if isinstance(value, Decimal) else value


async def _bounds(connection: AsyncConnection, period: Period | None) -> dict[str, Any]:
    archived: datetime | None = await connection.scalar(ARCHIVED_UNTIL)
    since, until = (BEGINNING, END) if period is None else (period.start, period.end)
    bounds: dict[str, Any] = {
        "consumer": USAGE_INBOX,
        "since": max(since, archived or BEGINNING),
        "until": until,
        "started_until": min(until, END - _SKEW) + _SKEW,
    }
    if period is not None:
        edges = (await connection.execute(_EDGES, {"since": bounds["since"], "until": until})).one()
        follows_close = edges.follows_close or bounds["since"] == BEGINNING
        bounds |= {"follows_close": follows_close, "to_now": edges.to_now}
    return bounds
