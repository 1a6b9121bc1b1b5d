"""Ten million transfers in a few minutes: the real schema, filled by SQL as the ledger itself would have.

Each cycle of an account is a top-up, a lease grant and a charge of the same amount, with its usage record, so
that every balance, counter, sequence and claim is what the audit expects. Two connections fill in chunks.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg

MONTHS_BACK = 4
COST_NANO = 45_000
TRANSFERS_A_CYCLE = 3
_POSITIONS_A_CYCLE = 4
_CHUNK = 50_000
_FILLERS = 2

# Every cycle: its place in time, its customer and its accounts. $1 and $2 are the first and the last.
_CYCLES = """
    SELECT cycle, (cycle % {accounts}) AS who, at,
        lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008' AS prefix,
        md5('growth' || (cycle % {accounts}))::uuid AS customer
    FROM (SELECT cycle, to_timestamp({start} + cycle * {step}) AS at
        FROM generate_series($1::bigint, $2::bigint) AS cycle) AS timed
"""
_TRANSFERS = """
    INSERT INTO transfers (position, id, kind, debit_account, credit_account, amount, debit_after,
        credit_after, customer, reference, posted_at)
    OVERRIDING SYSTEM VALUE
    SELECT 4 * cycle + step, (prefix || lpad(to_hex(4 * cycle + step), 15, '0'))::uuid, kind,
        CASE step WHEN 1 THEN {promo} WHEN 2 THEN {wallet} + 2 * who ELSE {wallet} + 2 * who + 1 END,
        CASE step WHEN 1 THEN {wallet} + 2 * who WHEN 2 THEN {wallet} + 2 * who + 1 ELSE {revenue} END,
        {cost}, CASE step WHEN 1 THEN -{cost} * (cycle + 1) ELSE 0 END,
        CASE step WHEN 3 THEN {cost} * (cycle + 1) ELSE {cost} END, customer,
        (prefix || lpad(to_hex(4 * cycle + 3), 15, '0'))::uuid, at
    FROM ({cycles_of}) AS c,
        (VALUES (1, 'topup'), (2, 'lease_grant'), (3, 'usage')) AS steps (step, kind)
"""
_RECORDS = """
    INSERT INTO usage_records (position, id, request_id, account, user_id, spender, operation, model,
        upstream_model, channel, group_name, started_at, duration_ms, status, outcome, streamed, estimated,
        partial, quantities, unit_pico, price_version, rate_micro, cost_nano, reserved_nano, from_held_nano,
        overage_nano, uncollected_nano, balance_after, held_after, transfer, sequence, posted_at)
    SELECT 4 * cycle + 4, id, id::text, customer, customer::text, customer, 'chat.completions', 'gpt-4o-mini',
        'gpt-4o-mini', 'bench', 'default', at, 5, 200, 'ok', false, false, false,
        '{{"input": 100, "output": 50}}', '{{"input": 150000, "output": 600000}}', 1, 1000000, {cost}, {cost},
        {cost}, 0, 0, 0, 0, id, cycle / {accounts} + 1, at
    FROM (SELECT *, (prefix || lpad(to_hex(4 * cycle + 3), 15, '0'))::uuid AS id FROM ({cycles_of}) AS c) AS r
"""
_PEOPLE = (
    """
    INSERT INTO customers (account, usage_sequence)
    SELECT md5('growth' || who)::uuid, {each} FROM generate_series(0, {accounts} - 1) AS who
    """,
    "INSERT INTO spenders (id, account, kind) SELECT account, account, 'key' FROM customers",
    """
    INSERT INTO accounts (name, kind, customer, debits, credits)
    SELECT kind || ':' || md5('growth' || who)::uuid, kind, md5('growth' || who)::uuid,
        {cost} * {each}::bigint, {cost} * {each}::bigint
    FROM generate_series(0, {accounts} - 1) AS who, (VALUES (1, 'wallet'), (2, 'held')) AS kinds (nth, kind)
    ORDER BY who, nth
    """,
)
_TOTALS = (
    "UPDATE accounts SET debits = {cost} * {cycles}::bigint WHERE name = 'promo'",
    "UPDATE accounts SET credits = {cost} * {cycles}::bigint WHERE name = 'revenue'",
    "SELECT setval('transfers_position_seq', 4 * {cycles}::bigint)",
    """
    INSERT INTO inbox (consumer, id) SELECT 'billing-usage', id FROM usage_records
    WHERE posted_at > now() - interval '13 days 1 hour'
    """,
)


@dataclass(frozen=True)
class Filled:
    """What the fill made, how long it took, and what it weighs: bytes of table and indexes per row."""

    accounts: int
    transfers: int
    records: int
    seconds: float
    transfer_bytes: float
    record_bytes: float
    database_bytes: int


async def fill(dsn: str, accounts: int, transfers: int) -> Filled:
    """Fill the empty ledger at `dsn`; `transfers` is rounded down to whole rounds of all accounts."""
    each = max(1, transfers // TRANSFERS_A_CYCLE // accounts)
    cycles = each * accounts
    values = {"accounts": accounts, "each": each, "cycles": cycles, "cost": COST_NANO}
    started = time.perf_counter()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET ROLE billing; SET maintenance_work_mem = '1GB'")
        await connection.execute(
            "SELECT create_partitions($1, now() - make_interval(months => $1))", MONTHS_BACK
        )
        indexes = await _drop_indexes(connection)
        for statement in _PEOPLE:
            await connection.execute(statement.format(**values))
        rows = await connection.fetch("SELECT name, id FROM accounts WHERE kind = 'platform'")
        ids = {row["name"]: row["id"] for row in rows}
        values |= {"promo": ids["promo"], "revenue": ids["revenue"]}
        values["wallet"] = await connection.fetchval("SELECT min(id) FROM accounts WHERE kind = 'wallet'")
        start, end = await connection.fetchrow(
            "SELECT extract(epoch FROM date_trunc('month', now()) - make_interval(months => $1))::bigint,"
            " extract(epoch FROM now())::bigint - 60",
            MONTHS_BACK,
        )
        of = _CYCLES.format(**values, start=start, step=(end - start) / cycles)
        statements = [text.format(**values, cycles_of=of) for text in (_TRANSFERS, _RECORDS)]
        chunks = iter(range(0, cycles, _CHUNK))
        await asyncio.gather(*(_insert(dsn, statements, chunks, cycles) for _ in range(_FILLERS)))
        for statement in (*indexes, *_TOTALS):
            print(" ".join(statement.split())[:80], flush=True)
            await connection.execute(statement.format(**values))
        seconds = time.perf_counter() - started
        return await _weigh(connection, accounts, cycles, seconds)
    finally:
        await connection.close()


async def _drop_indexes(connection: asyncpg.Connection) -> list[str]:
    """Take away what is cheaper to build at the end; the statements that make it again."""
    rows = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('transfers', 'usage_records')"
        " AND indexname NOT LIKE '%_pkey'"
    )
    for row in rows:
        await connection.execute(f"DROP INDEX {row['indexname']}")
    return [row["indexdef"].replace(" ON ONLY ", " ON ") for row in rows]


async def _insert(dsn: str, statements: list[str], chunks: Iterator[int], cycles: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET ROLE billing; SET synchronous_commit = off")
        for start in chunks:
            end = min(start + _CHUNK, cycles)
            for statement in statements:
                await connection.execute(statement, start, end - 1)
            print(f"filled {end * TRANSFERS_A_CYCLE:,} of {cycles * TRANSFERS_A_CYCLE:,}", flush=True)
    finally:
        await connection.close()


async def _weigh(connection: asyncpg.Connection, accounts: int, cycles: int, seconds: float) -> Filled:
    sizes = {
        parent: await connection.fetchval(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = $1::text::regclass",
            parent,
        )
        for parent in ("transfers", "usage_records")
    }
    return Filled(
        accounts,
        cycles * TRANSFERS_A_CYCLE,
        cycles,
        seconds,
        float(sizes["transfers"]) / (cycles * TRANSFERS_A_CYCLE),
        float(sizes["usage_records"]) / cycles,
        await connection.fetchval("SELECT pg_database_size(current_database())"),
    )
