"""Roll-ups: the daily table and the tail behind it make the sum of charges and refunds, to the nano."""

import asyncio
import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing.statements.adapters.postgres.rollups import PostgresRollups
from billing.statements.domain.rollups import BEGINNING, Days, RollupKey, RollupQuery
from billing.statements.usecases.rollups import roll_up
from common.kit.ids import uuid7
from common.kit.money import cost_nano, format_usd

DAY_MS = 86_400_000
ALL_DAYS = Days(date(2025, 1, 1), date(2027, 1, 1))
NAMES = {
    "model": "model",
    "key": "spender::text",
    "app": "app",
    "channel": "channel",
    "account": "account::text",
}
OUTCOMES = ("ok", "ok", "ok", "client_gone", "upstream_error", "relay_error")


def any_record(billing: Any, chance: random.Random, accounts: list[str], spenders: list[str]) -> Any:
    """A record of any kind and of any day of the last two months."""
    quantities = {
        unit: chance.randrange(5_000)
        for unit in chance.sample(["input", "output", "call"], chance.randint(1, 3))
    }
    prices = {unit: chance.randrange(2_000_000) for unit in quantities}
    index = chance.randrange(len(accounts))
    return billing.record(
        accounts[index],
        spenders[index],
        model=chance.choice(["gpt-4o-mini", "claude", "模型"]),
        channel=chance.choice(["a", "b"]),
        app=chance.choice(["", "demo-app"]),
        outcome=chance.choice(OUTCOMES),
        estimated=chance.random() < 0.2,
        started_at_ms=int(billing.clock.time() * 1000) - chance.randrange(60 * DAY_MS),
        quantities=quantities,
        unit_pico=prices,
        cost_nano=cost_nano(quantities, prices, 1_000_000),
        upstream_cost_nano=chance.choice([None, chance.randrange(10**6)]),
    )


async def direct(billing: Any, by: str, account: str | None) -> dict[tuple[date, str], tuple[int, ...]]:
    """The truth: a GROUP BY over the log itself."""
    rows = await billing.rows(
        f"SELECT (started_at AT TIME ZONE 'UTC')::date, {NAMES[by]}, count(*),"  # noqa: S608
        " count(*) FILTER (WHERE outcome NOT IN ('ok', 'client_gone')), count(*) FILTER (WHERE estimated),"
        " count(*) FILTER (WHERE upstream_cost_nano IS NULL), sum(cost_nano),"
        " sum(from_held_nano + overage_nano), sum(free_nano), sum(back), sum(back_free),"
        " coalesce(sum(upstream_cost_nano), 0),"
        " coalesce(sum(from_held_nano + overage_nano - free_nano - back + back_free)"
        " FILTER (WHERE upstream_cost_nano IS NOT NULL), 0)"
        " FROM usage_records, LATERAL (SELECT coalesce(sum(f.amount_nano), 0) AS back,"
        " coalesce(sum(f.free_nano), 0) AS back_free FROM charge_refunds AS f"
        " WHERE f.record = usage_records.id) AS refunds"
        " WHERE CAST(:account AS uuid) IS NULL OR account = CAST(:account AS uuid)"
        " GROUP BY 1, 2",
        account=account,
    )
    return {(row[0], row[1]): tuple(map(int, row[2:])) for row in rows}


async def rolled(
    store: PostgresRollups, by: Any, account: str | None
) -> dict[tuple[date, str], tuple[int, ...]]:
    """What the roll-ups answer, page by page."""
    found: dict[tuple[date, str], tuple[int, ...]] = {}
    after: RollupKey = BEGINNING
    while page := await store.read(RollupQuery(account, by, "day", ALL_DAYS), after, 7):
        for row in page:
            assert (row.first, row.name) not in found
            found[row.first, row.name] = (
                row.requests,
                row.errors,
                row.estimated,
                row.unknown_costs,
                row.cost_nano,
                row.charged_nano,
                row.free_nano,
                row.refunded_nano,
                row.refunded_free_nano,
                row.upstream_nano,
                row.known_paid_nano,
            )
        after = page[-1].key
    return found


async def refund_some(billing: Any, chance: random.Random) -> None:
    """Give back all or a part of some charges, more than once."""
    rows = await billing.rows(
        "SELECT id::text, from_held_nano + overage_nano FROM usage_records"
        " WHERE from_held_nano + overage_nano > 10 ORDER BY position LIMIT 30"
    )
    admin = billing.headers(uuid7(), "admin")
    for record, nano in chance.sample(rows, min(5, len(rows))):
        part = {"amount": format_usd(nano // chance.randint(1, 4))}
        body = part if chance.random() < 0.7 else {}
        path = f"/api/billing/usage/{record}/refunds"
        assert (await billing.http.post(path, json=body, headers=admin)).status_code in (201, 409)


@pytest.mark.parametrize("seed", range(3))
async def test_table_and_tail_make_the_sum_of_the_log_under_concurrent_charging(
    billing: Any, seed: int
) -> None:
    chance = random.Random(seed)
    await billing.start_replica()
    accounts = [await billing.funded("0.01") for _ in range(3)]
    await billing.change("UPDATE customers SET free_nano = 3000000, allowance_until = '2999-01-01'")
    spenders = [uuid7() for _ in accounts]
    store = PostgresRollups(billing.database)
    total = 0
    for _ in range(4):
        batches = [
            [any_record(billing, chance, accounts, spenders) for _ in range(chance.randint(1, 40))]
            for _ in range(6)
        ]
        total += sum(map(len, batches))
        await asyncio.gather(
            *(billing.publish(*batch) for batch in batches),
            *(roll_up(store) for _ in range(3)),
            refund_some(billing, chance),
        )
        before = await billing.rows("SELECT count(*) FROM usage_records")
        months = await store.read(RollupQuery(None, "account", "all", ALL_DAYS), BEGINNING, 100)
        after = await billing.rows("SELECT count(*) FROM usage_records")
        assert before[0][0] <= sum(row.requests for row in months) <= after[0][0]
    await billing.until_charged(total)
    for by in NAMES:
        assert await rolled(store, by, None) == await direct(billing, by, None), by
        assert await rolled(store, by, accounts[0]) == await direct(billing, by, accounts[0]), by

    async def folded() -> bool:
        await roll_up(store)  # nothing, while a replica is at it
        return bool((await billing.rows("SELECT sum(requests) FROM usage_daily"))[0][0] == total)

    await billing.until(folded)
    for by in NAMES:
        assert await rolled(store, by, None) == await direct(billing, by, None), by
    units = "SELECT key, sum(value::bigint) FROM usage_records, jsonb_each_text(quantities) GROUP BY 1"
    expected = {row[0]: int(row[1]) for row in await billing.rows(units)}
    got: dict[str, int] = {}
    for row in await store.read(RollupQuery(None, "model", "month", ALL_DAYS), BEGINNING, 500):
        for unit, count in row.quantities.items():
            got[unit] = got.get(unit, 0) + count
    assert got == expected


async def test_a_writer_under_way_with_an_early_position_is_waited_for_and_counted(billing: Any) -> None:
    account, spender, store = await billing.funded(), uuid7(), PostgresRollups(billing.database)
    await billing.publish(billing.record(account, spender))
    await billing.until_charged(1)
    await roll_up(store)
    columns = await billing.rows(
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns"
        " WHERE table_name = 'usage_records' AND column_name NOT IN ('id', 'position')"
    )
    copied = (
        f"INSERT INTO usage_records (id, {columns[0][0]})"  # noqa: S608
        f" SELECT gen_random_uuid(), {columns[0][0]} FROM usage_records LIMIT 1"
    )
    async with billing.database.transaction() as slow:
        await slow.exec_driver_sql(copied)
        await billing.change(copied)  # a later position, committed earlier
        await roll_up(store)
    assert (await billing.rows("SELECT sum(requests) FROM usage_daily"))[0][0] == 1
    await roll_up(store)
    assert (await billing.rows("SELECT sum(requests) FROM usage_daily"))[0][0] == 3


async def test_a_crash_between_sums_and_cursor_counts_nothing_twice(billing: Any) -> None:
    account, spender, store = await billing.funded(), uuid7(), PostgresRollups(billing.database)
    await billing.publish(*(billing.record(account, spender) for _ in range(5)))
    await billing.until_charged(5)
    await billing.change("ALTER TABLE rollup_cursor ADD CONSTRAINT stuck CHECK (position = 0) NOT VALID")
    with pytest.raises(Exception, match="stuck"):
        await roll_up(store)
    await billing.change("ALTER TABLE rollup_cursor DROP CONSTRAINT stuck")
    await asyncio.gather(*(roll_up(store) for _ in range(4)))
    assert (await billing.rows("SELECT sum(requests) FROM usage_daily"))[0][0] == 5


async def test_days_are_utc_and_late_records_of_an_old_day_are_added(billing: Any) -> None:
    account, spender, store = await billing.funded(), uuid7(), PostgresRollups(billing.database)
    last_ms = 1_767_225_599_999  # 2025-12-31T23:59:59.999Z
    for started_at_ms in (last_ms, last_ms + 1, last_ms - DAY_MS):
        await billing.publish(billing.record(account, spender, started_at_ms=started_at_ms))
    await billing.until_charged(3)
    await roll_up(store)
    await billing.publish(billing.record(account, spender, started_at_ms=last_ms))
    await billing.until_charged(4)
    own = billing.headers(account)
    span = "from=2025-12-01&to=2026-02-01"
    days = (await billing.http.get(f"/api/billing/rollups?by=model&period=day&{span}", headers=own)).json()
    assert [(row["period"], row["requests"]) for row in days["data"]] == [
        ("2025-12-30", 1),
        ("2025-12-31", 2),
        ("2026-01-01", 1),
    ]
    first = await billing.http.get(f"/api/billing/rollups?by=key&period=month&limit=1&{span}", headers=own)
    assert first.json()["data"] == [
        {
            "period": "2025-12",
            "name": spender,
            "requests": 3,
            "errors": 0,
            "estimated": 0,
            "quantities": {"input": 3000, "output": 300},
            "cost": "0.00063",
            "charged": "0.00063",
            "free": "0",
            "refunded": "0",
            "refunded_free": "0",
            "net": "0.00063",
            "currency": "USD",
        }
    ]
    query = f"/api/billing/rollups?by=key&period=month&after={first.json()['next']}&{span}"
    rest = (await billing.http.get(query, headers=own)).json()
    assert ([row["period"] for row in rest["data"]], rest["next"]) == (["2026-01"], None)
    none = await billing.http.get("/api/billing/rollups?by=model&from=2027-01-01&to=2027-02-01", headers=own)
    assert none.json() == {"data": [], "next": None}


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("by=colour", 400, "by"),
        ("by=model&period=week", 400, "period"),
        ("by=model&from=2026-02-01&to=2026-01-01", 400, "to"),
        ("by=model&from=2026-02-30", 400, "from"),
        ("by=model&from=1700-01-01&to=2026-01-01", 400, "from"),
        ("by=model&to=0001-01-02", 400, "to"),
        ("by=model&after=nothing", 400, "after"),
        ("by=model&limit=501", 400, None),
        ("period=day", 400, None),
        ("by=channel", 403, None),
        ("by=model&account=all", 403, None),
        ("by=model&account=01990000-0000-7000-8000-000000000001", 403, None),
    ],
)
async def test_bad_questions_are_refused(billing: Any, query: str, status: int, param: str | None) -> None:
    answer = await billing.http.get(f"/api/billing/rollups?{query}", headers=billing.headers(uuid7()))
    assert answer.status_code == status, answer.text
    if param:
        assert answer.json()["param"] == param


async def test_a_refund_takes_from_the_day_and_names_of_its_charge_though_that_was_folded_long_ago(
    billing: Any,
) -> None:
    account, spender, store = await billing.funded("1"), uuid7(), PostgresRollups(billing.database)
    await billing.change("UPDATE customers SET free_nano = 50000, allowance_until = '2999-01-01'")
    record = billing.record(
        account, spender, channel="cheap", app="demo-app", upstream_cost_nano=100_000,
        started_at_ms=int(billing.clock.time() * 1000) - 3 * DAY_MS,
    )  # fmt: skip
    await billing.publish(record)
    await billing.until_charged(1)
    await roll_up(store)
    admin = billing.headers(uuid7(), "admin")
    path = f"/api/billing/usage/{record.id}/refunds"
    for amount in ("0.0001", "0.00009"):
        answer = await billing.http.post(path, json={"amount": amount}, headers=admin)
        assert answer.status_code == 201, answer.text
    # The charge's month may leave the tables before the refund is summed.
    await billing.change("DELETE FROM usage_records")
    for _ in range(2):  # from the tail, then from the table
        query = f"by=channel&period=day&account={account}"
        rows = (await billing.http.get(f"/api/billing/rollups?{query}", headers=admin)).json()["data"]
        assert [(row["name"], row["requests"], row["charged"], row["free"]) for row in rows] == [
            ("cheap", 1, "0.00021", "0.00005")
        ]
        assert (rows[0]["refunded"], rows[0]["refunded_free"], rows[0]["net"]) == (
            "0.00019", "0.00003", "0.00002",
        )  # fmt: skip
        margin = (await billing.http.get("/api/billing/margins", headers=admin)).json()["data"][0]
        assert (margin["gross"], margin["refunded"], margin["revenue"], margin["margin"]) == (
            "0.00016", "0.00016", "0", "-0.0001",
        )  # fmt: skip
        await roll_up(store)
    assert (await billing.rows("SELECT count(*) FROM usage_daily"))[0][0] == 1


async def test_margins_are_of_what_is_known_and_for_admins(billing: Any) -> None:
    account, spender = await billing.funded("1"), uuid7()
    for channel, upstream in (("cheap", 100_000), ("cheap", 50_000), ("dear", 300_000), ("odd", None)):
        await billing.publish(billing.record(account, spender, channel=channel, upstream_cost_nano=upstream))
    await billing.until_charged(4)
    admin = billing.headers(uuid7(), "admin")
    span = "from=2026-01-01&to=2026-02-01"
    body = (await billing.http.get(f"/api/billing/margins?by=channel&{span}", headers=admin)).json()
    got = [(row["name"], row["margin"], row["percent"], row["unknown_costs"]) for row in body["data"]]
    assert got == [
        ("dear", "-0.00009", "-42.86", 0),
        ("odd", "0", None, 1),
        ("cheap", "0.00027", "64.29", 0),
    ]
    total = body["total"]
    assert (total["revenue"], total["known_revenue"], total["upstream_cost"], total["margin"]) == (
        "0.00084", "0.00063", "0.00045", "0.00018",
    )  # fmt: skip
    assert Decimal(total["known_revenue"]) - Decimal(total["upstream_cost"]) == Decimal(total["margin"])
    own = billing.headers(account)
    assert (await billing.http.get("/api/billing/margins", headers=own)).status_code == 403
    assert (await billing.http.get("/api/billing/margins?by=key", headers=admin)).status_code == 400
