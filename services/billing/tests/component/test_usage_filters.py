"""The usage log by filter: the right records, by an index, and typed errors for what is no filter."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from billing.adapters.postgres.usage import list_statement
from billing.domain.statements import UsageFilter
from common.kit.ids import uuid7

FIELDS = tuple(name for name in UsageFilter.__struct_fields__)
FILL = """
    INSERT INTO usage_records (id, request_id, account, user_id, spender, operation, model, upstream_model,
        channel, group_name, started_at, duration_ms, status, outcome, streamed, estimated, partial,
        quantities, unit_pico, price_version, rate_micro, cost_nano, reserved_nano, from_held_nano,
        overage_nano, uncollected_nano, balance_after, held_after, sequence, posted_at, app)
    SELECT gen_random_uuid(), 'request-' || n, CAST(lpad((n % 40)::text, 32, '0') AS uuid), 'u',
        CAST(lpad((n % 200)::text, 32, '0') AS uuid), 'chat', 'model-' || n % 5, 'm', 'channel-' || n % 4,
        'default', now() + (n - 2000) * interval '4 minutes', 1, 200, 'ok', false, n % 7 = 0, n % 11 = 0,
        '{}', '{}', 1, 1000000, 0, 0, 0, 0, 0, 0, 0, n, now(), CASE WHEN n % 3 = 0 THEN 'app' ELSE '' END
    FROM generate_series(0, 32000) AS n
"""
VALUES: dict[str, Any] = {
    "account": "00000000-0000-0000-0000-000000000007",
    "spender": "00000000-0000-0000-0000-000000000047",
    "model": "model-2",
    "channel": "channel-3",
    "app": "",
    "operation": "chat",
    "outcome": "ok",
    "estimated": False,
    "partial": False,
    "request_id": "request-4047",
}


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def test_every_combination_of_filters_is_served_by_an_index(billing: Any) -> None:
    await billing.change("SELECT create_partitions(3)", FILL, "ANALYZE usage_records")
    tables = "SELECT relname FROM pg_class WHERE relname LIKE 'usage_records_%' AND relkind = 'r'"
    filled = {row[0] for row in await billing.rows(f"{tables} AND reltuples > 0")}  # months to come are empty
    assert len(filled) > 2
    now = datetime.now(UTC)
    values = VALUES | {"since": now, "until": now + timedelta(days=50)}
    assert set(values) == set(FIELDS)
    position = {"before_at": now + timedelta(days=365), "before_id": uuid7(), "limit": 51}
    chance = random.Random(0)
    combinations = [(), *((name,) for name in FIELDS), *(("account", name) for name in FIELDS[1:])]
    combinations += [tuple(chance.sample(FIELDS, chance.randint(2, len(FIELDS)))) for _ in range(150)]
    async with billing.database.transaction() as connection:
        for names in combinations:
            given = {name: values[name] for name in names}
            explain = text(f"EXPLAIN (FORMAT JSON) {list_statement(names).text}")
            plan = (await connection.execute(explain, given | position)).scalar_one()
            plan = msgspec.json.decode(plan) if isinstance(plan, str) else plan
            found = [
                node
                for node in nodes(plan[0]["Plan"])
                if (node.get("Relation Name") or node.get("Index Name") or "").startswith("usage_records")
            ]
            assert found
            scanned = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
            assert not scanned & filled, names
            if "account" in names:
                # Nobody else's rows are read: each index is entered by something that is the account's own.
                conditions = [node["Index Cond"] for node in found if "Index Name" in node]
                own = ("(account =", "(spender =", "(request_id =")
                assert all(any(word in condition for word in own) for condition in conditions), (
                    names,
                    conditions,
                )


async def test_filters_give_what_they_name_and_nothing_else(billing: Any) -> None:
    account, keys = await billing.funded("1"), [uuid7(), uuid7()]
    records = []
    for index in range(24):
        billing.clock.advance(1)
        records.append(
            billing.record(
                account,
                keys[index % 2],
                model=f"m{index % 3}",
                channel=f"c{index % 2}",
                app="demo" if index % 4 == 0 else "",
                operation="chat" if index % 5 else "embeddings",
                outcome="ok" if index % 6 else "upstream_error",
                estimated=index % 7 == 0,
                partial=index % 8 == 0,
            )
        )
    await billing.publish(*records, billing.record(uuid7(), keys[0], model="m0"))
    await billing.until_charged(25)
    start = datetime.fromtimestamp(records[5].started_at_ms / 1000, UTC)
    end = datetime.fromtimestamp(records[15].started_at_ms / 1000, UTC)
    cases: dict[str, Any] = {
        f"spender={keys[0]}": lambda record: record.spender == keys[0],
        "model=m1": lambda record: record.model == "m1",
        "channel=c1": lambda record: record.channel == "c1",
        "app=demo": lambda record: record.app == "demo",
        "app=": lambda record: not record.app,
        "operation=embeddings": lambda record: record.operation == "embeddings",
        "outcome=upstream_error": lambda record: record.outcome == "upstream_error",
        "estimated=true": lambda record: record.estimated,
        "partial=false": lambda record: not record.partial,
        f"request_id={records[3].request_id}": lambda record: record is records[3],
        f"from={start:%Y-%m-%dT%H:%M:%SZ}&to={end:%Y-%m-%dT%H:%M:%SZ}": lambda record: (
            records[5].started_at_ms <= record.started_at_ms < records[15].started_at_ms
        ),
        f"model=m0&estimated=false&spender={keys[0]}&outcome=upstream_error": lambda record: (
            record.model == "m0" and not record.estimated and record.spender == keys[0]
            and record.outcome == "upstream_error"
        ),
    }  # fmt: skip
    headers = billing.headers(uuid7(), "admin")
    for query, passes in cases.items():
        expected = [record.id for record in reversed(records) if passes(record)]
        assert expected, query
        got: list[str] = []
        before = ""
        while True:
            url = f"/api/billing/usage?account={account}&limit=4&{query}{before}"
            body = (await billing.http.get(url, headers=headers)).json()
            got += [item["id"] for item in body["data"]]
            if body["next"] is None:
                break
            before = f"&before={body['next']}"
        assert got == expected, query


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("from=2026-01-01T00:00:00", 400, "from"),
        ("from=2026-01-01", 400, "from"),
        ("to=2026-01-01T00:00:00+01:00", 400, "to"),  # an unescaped plus is a space
        ("to=0001-01-01T00:00:00%2B14:00", 400, "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 400, "to"),
        ("from=2026-01-01T01:00:00%2B01:00&to=2026-01-01T00:00:00Z", 400, "to"),
        ("spender=mine", 400, "spender"),
        ("outcome=great", 400, "outcome"),
        ("estimated=perhaps", 400, None),
        ("model=%00", 400, "model"),
        ("limit=501", 400, None),
        ("limit=0", 400, None),
        ("before=1-2", 400, "before"),
        ("channel=sim", 403, None),
        ("account=all", 403, None),
        ("account=01990000-0000-7000-8000-000000000001", 403, None),
    ],
)
async def test_what_is_no_filter_is_refused(billing: Any, query: str, status: int, param: str | None) -> None:
    for path in ("usage?", "usage/export?format=csv&"):
        if "limit" in query or "before" in query:
            path = "usage?"  # noqa: PLW2901  an export has no pages
        answer = await billing.http.get(f"/api/billing/{path}{query}", headers=billing.headers(uuid7()))
        assert answer.status_code == status, answer.text
        if param:
            assert answer.json()["param"] == param


async def test_what_it_cost_upstream_is_for_admins_alone(billing: Any) -> None:
    account = await billing.funded()
    await billing.publish(billing.record(account, uuid7(), upstream_cost_nano=123, app="demo"))
    await billing.until_charged(1)
    for headers, seen in ((billing.headers(account), False), (billing.headers(uuid7(), "admin"), True)):
        url = f"/api/billing/usage?account={account}"
        (item,) = (await billing.http.get(url, headers=headers)).json()["data"]
        assert item["app"] == "demo"
        assert item.get("upstream_cost") == ("0.000000123" if seen else None)
        assert ("upstream_cost" in item) is seen
        export = await billing.http.get(
            f"/api/billing/usage/export?format=csv&account={account}", headers=headers
        )
        assert ("upstream_cost" in export.text.splitlines()[0]) is seen
    (event,) = await billing.events("usage", 1)
    assert event["app"] == "demo"
    assert "upstream_cost_nano" not in event
