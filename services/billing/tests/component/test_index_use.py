"""No call reads a large table through: PostgreSQL itself counts the sequential scans of each."""

from typing import Any

from bench.growth_fill import fill
from billing.adapters.postgres.holds import PostgresHolds
from billing.adapters.postgres.leases import PostgresLeases
from billing.seals.adapters.postgres.seals import PostgresSeals
from billing.seals.usecases.seals import Sealer
from common.kit.ids import uuid7

USD = 1_000_000_000
LARGE = 1000
OTHERS = (
    """
    INSERT INTO operations (id, fingerprint, result)
    SELECT gen_random_uuid(), '\\x00', '\\x00' FROM generate_series(1, 5000)
    """,
    """
    INSERT INTO inbox (consumer, id)
    SELECT 'billing-usage', gen_random_uuid() FROM generate_series(1, 5000)
    """,
    """
    INSERT INTO leases (id, replica, account, spender, granted_nano, spent_nano, returned_nano, sequence,
        last_answer, state, opened_at, expires_at)
    SELECT gen_random_uuid(), 'r', gen_random_uuid(), gen_random_uuid(), 2, 1, 1, 1, '', 'closed', now(),
        now() - interval '1 day' FROM generate_series(1, 5000)
    """,
    """
    INSERT INTO holds (id, account, spender, purpose, reference, app, paid_only, state, amount_nano,
        captured_nano, released_nano, refunded_nano, free_nano, refunded_free_nano, credits, refunds,
        opened_at, expires_at, resolved_at)
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'task', '', '', false, 'captured', 1, 1,
        0, 0, 0, 0, '{}', '{}', now(), now(), now() FROM generate_series(1, 5000)
    """,
)
SCANS = """
    SELECT relname, seq_scan FROM pg_stat_user_tables
    WHERE relname ~ '^(transfers|usage_records|operations|inbox|holds|leases)' AND n_live_tup >= :large
"""
# Every other connection of this database ends, and with it what it had counted is told.
FLUSH = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
CATCH_UP = (
    "UPDATE rollup_cursor SET position = (SELECT last_value FROM transfers_position_seq)",
    "UPDATE webhook_cursor SET position = (SELECT last_value FROM transfers_position_seq)",
)


async def scans(billing: Any) -> dict[str, int]:
    return {row.relname: row.seq_scan for row in await billing.rows(SCANS, large=LARGE)}


def list_paths(billing: Any) -> set[str]:
    """Every GET of the management API that takes no part of its path from the caller."""
    paths = set()
    for route in billing.apps[0].routes:
        methods: set[str] = getattr(route, "methods", set())
        if "GET" in methods and route.path.startswith("/api/billing") and "{" not in route.path:
            paths.add(route.path)
    return paths


async def work(billing: Any, account: str) -> None:
    """Money in, leases, usage, and a round of every background task that a test starts by hand."""
    assert (await billing.topup(account, "1")).status_code == 201
    lease, spender = uuid7(), uuid7()
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD // 2,))
    before = (await billing.rows("SELECT usage_sequence FROM customers WHERE account = :id", id=account))[0][
        0
    ]
    record = billing.record(account, spender, lease)
    await billing.publish(record)

    async def charged() -> bool:
        query = "SELECT usage_sequence FROM customers WHERE account = :id"
        return bool((await billing.rows(query, id=account))[0][0] > before)

    await billing.until(charged)
    await billing.close(lease, 1, USD)
    await Sealer(PostgresSeals(billing.database), billing.clock.now).seal_posted()
    await PostgresHolds(billing.database).prune(billing.clock.now())
    await PostgresLeases(billing.database).prune(billing.clock.now(), 14)
    headers = billing.headers(account)
    for path in (f"/api/billing/usage/{record.id}", f"/api/billing/usage?request_id={record.request_id}"):
        assert (await billing.http.get(path, headers=headers)).status_code == 200


async def test_no_call_reads_a_large_table_through(billing: Any) -> None:
    await fill(billing.dsn, accounts=500, transfers=30_000)
    await billing.change(*OTHERS, *CATCH_UP)
    store = PostgresSeals(billing.database)
    await Sealer(store, billing.clock.now).seal_posted()
    await billing.rows(FLUSH)
    async with billing.database.engine.connect() as connection:
        analyzing = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await analyzing.exec_driver_sql("VACUUM ANALYZE")
    before = await scans(billing)
    assert {"operations", "inbox", "holds", "leases"} <= before.keys()
    assert len([name for name in before if name.startswith("transfers_")]) >= 4
    assert len([name for name in before if name.startswith("usage_records_")]) >= 4

    account = await billing.funded("5")
    await work(billing, account)
    known = str((await billing.rows("SELECT account FROM customers LIMIT 1"))[0][0])
    headers = billing.headers("admin", "admin")
    paths = list_paths(billing)
    assert {"/api/billing/usage", "/api/billing/wallet", "/api/billing/seals"} <= paths
    for path in sorted(paths):
        for query in ({"account": known}, {"account": "all"}, {}):
            answer = await billing.http.get(path, params=query, headers=headers)
            assert answer.status_code < 500, (path, answer.text)
    await billing.rows(FLUSH)
    after = await scans(billing)
    grown = {name: after[name] - count for name, count in before.items() if after[name] > count}
    assert not grown
