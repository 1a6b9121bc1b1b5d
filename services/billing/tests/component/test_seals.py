"""The hash chain: whatever is edited, deleted or inserted is found and named, and no row is ever skipped."""

import asyncio
from typing import Any

import pytest

from billing.seals.adapters.postgres.seals import PostgresSeals
from billing.seals.usecases.seals import Sealer, verify_chain
from common.kit.ids import uuid7

USD = 1_000_000_000
UNLOCK = "ALTER TABLE transfers DISABLE TRIGGER transfers_immutable"
INSERTED = """
    INSERT INTO transfers (position, id, kind, debit_account, credit_account, amount, debit_after,
        credit_after, reference, posted_at)
    OVERRIDING SYSTEM VALUE
    SELECT position, gen_random_uuid(), kind, debit_account, credit_account, amount, debit_after,
        credit_after, reference, posted_at
    FROM transfers WHERE kind = 'usage' ORDER BY position LIMIT 1
"""
EDITS = {
    "a transfer edited": [UNLOCK, "UPDATE transfers SET amount = amount + 1 WHERE kind = 'topup'"],
    "a transfer deleted": [UNLOCK, "DELETE FROM transfers WHERE kind = 'lease_grant'"],
    "a transfer inserted": [INSERTED],
    "a record edited": ["UPDATE usage_records SET model = 'another' WHERE sequence = 2"],
    "a record deleted": ["DELETE FROM usage_records WHERE sequence = 3"],
    "two rows exchanged": [
        UNLOCK,
        """
        UPDATE transfers SET reference = CASE WHEN position = low THEN last ELSE first END
        FROM (SELECT min(position) AS low, max(position) AS high, min(reference::text)::uuid AS first,
            max(reference::text)::uuid AS last
            FROM (SELECT position, reference FROM transfers ORDER BY position LIMIT 2) AS two) AS ends
        WHERE position IN (low, high)
        """,
    ],
    "a seal edited": [
        "ALTER TABLE seals DISABLE TRIGGER seals_immutable",
        "UPDATE seals SET records = records + 1 WHERE number = 1",
    ],
    "a seal deleted": [
        "ALTER TABLE seals DISABLE TRIGGER seals_immutable",
        "DELETE FROM seals WHERE number = 1",
    ],
}


async def spend(billing: Any, records: int = 3) -> str:
    """An account with money that paid for some requests."""
    account, spender, lease = await billing.funded("1"), uuid7(), uuid7()
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD // 2,))
    before = (await billing.rows("SELECT count(*) FROM usage_records"))[0][0]
    await billing.publish(*(billing.record(account, spender, lease) for _ in range(records)))
    await billing.until_charged(before + records)
    return str(account)


def sealer(billing: Any) -> Sealer:
    return Sealer(PostgresSeals(billing.database), billing.clock.now)


async def seal_all(billing: Any) -> None:
    """Until everything that is there is sealed."""
    one = sealer(billing)

    async def sealed() -> bool:
        await one.seal_posted()
        return await PostgresSeals(billing.database).settled() == 0

    await billing.until(sealed)


async def verify(billing: Any, **body: Any) -> dict[str, Any]:
    response = await billing.http.post(
        "/api/billing/seals/verify", json=body, headers=billing.headers("admin", "admin")
    )
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


@pytest.mark.parametrize("edit", EDITS)
async def test_whatever_is_changed_behind_the_ledger_is_found_and_named(billing: Any, edit: str) -> None:
    await spend(billing)
    await seal_all(billing)
    await spend(billing)
    await seal_all(billing)
    clean = await verify(billing)
    assert clean["ok"], clean
    assert clean["seals"] == 2
    assert clean["rows"] == 16  # twice a top-up, a grant, three charges and their records
    await billing.change(*EDITS[edit])
    report = await verify(billing)
    assert not report["ok"]
    assert report["first_bad"].startswith(("seal 1 (positions 1 to ", "seals 1 to 2: 1 are missing"))
    checks = await billing.audit()
    assert not checks["seals"]["ok"]
    assert "first=" in checks["seals"]["detail"]


async def test_a_chain_made_anew_does_not_hold_the_head_that_was_kept(billing: Any) -> None:
    await spend(billing)
    await seal_all(billing)
    headers = billing.headers("admin", "admin")
    kept = (await billing.http.get("/api/billing/seals", headers=headers)).json()["data"][0]["digest"]
    await spend(billing)
    await seal_all(billing)
    assert (await verify(billing, expect=kept))["expected"] == 1
    await billing.change(
        UNLOCK,
        "UPDATE transfers SET amount = amount + 1 WHERE position = 1",
        "TRUNCATE seals",
    )
    await seal_all(billing)
    assert (await verify(billing))["ok"]  # within itself it is as good as the first
    report = await verify(billing, expect=kept)
    assert not report["ok"]
    assert "not in the chain" in report["first_bad"]


async def test_a_row_that_commits_late_is_never_skipped(billing: Any) -> None:
    """A transaction that holds a lower position keeps the sealer waiting, whatever else has ended."""
    account = await billing.funded("1")
    one = sealer(billing)
    insert = (
        "INSERT INTO transfers (id, kind, debit_account, credit_account, amount, debit_after, credit_after,"
        " reference, posted_at) VALUES (gen_random_uuid(), 'late', 1, 2, 1, 0, 0, gen_random_uuid(), now())"
    )
    async with billing.database.engine.connect() as slow:
        transaction = await slow.begin()
        await slow.exec_driver_sql(insert)
        await billing.topup(account, "1")  # a higher position that is there first
        await billing.topup(account, "1")
        assert await one.seal_posted() == 0
        assert await one.seal_posted() == 0
        await transaction.commit()
    await seal_all(billing)
    report = await verify(billing)
    assert report["ok"]
    assert report["rows"] == (await billing.rows("SELECT count(*) FROM transfers"))[0][0]


async def test_two_replicas_seal_under_traffic_without_a_gap_or_a_double(billing: Any) -> None:
    await billing.start_replica(seal_interval_s=0.001)
    first = billing.http
    await billing.start_replica(seal_interval_s=0.001)
    accounts = [await billing.funded("1") for _ in range(4)]

    async def post(index: int) -> None:
        client = (first, billing.http)[index % 2]
        body = {"account": accounts[index % 4], "amount": "0.01"}
        headers = billing.headers("admin", "admin")
        for _ in range(25):
            answer = await client.post("/api/billing/topups", json=body, headers=headers)
            assert answer.status_code == 201, answer.text

    async def rolled_back() -> None:
        """Positions that are never used."""
        for _ in range(50):
            async with billing.database.engine.connect() as connection:
                await connection.exec_driver_sql("SELECT nextval('transfers_position_seq')")
                await asyncio.sleep(0)  # reason: only lets the others run

    await asyncio.gather(*(post(index) for index in range(16)), rolled_back())
    await seal_all(billing)
    report = await verify(billing)
    assert report["ok"], report
    assert report["rows"] == (await billing.rows("SELECT count(*) FROM transfers"))[0][0] == 404
    chain = await billing.rows("SELECT number, first_position, last_position FROM seals ORDER BY number")
    assert len(chain) > 2
    ends = [0, *(row.last_position for row in chain)]
    assert [row.first_position for row in chain] == [end + 1 for end in ends[:-1]]
    assert [row.number for row in chain] == list(range(1, len(chain) + 1))


async def test_a_period_verifies_only_its_seals(billing: Any) -> None:
    await spend(billing)
    await seal_all(billing)
    billing.clock.advance(86_400)
    await spend(billing)
    await seal_all(billing)
    await billing.change(
        "DELETE FROM usage_records WHERE position < (SELECT last_position FROM seals WHERE number = 1)"
    )
    store = PostgresSeals(billing.database)
    assert not (await verify_chain(store)).ok
    assert (await verify(billing, **{"from": "2026-01-16"}))["ok"]
    assert not (await verify(billing, to="2026-01-16"))["ok"]


async def test_seals_are_for_admins_and_listed_newest_first(billing: Any) -> None:
    answer = await billing.http.get("/api/billing/seals", headers=billing.headers(uuid7()))
    assert answer.status_code == 403
    for _ in range(3):
        await billing.funded("1")
        await seal_all(billing)
    headers = billing.headers("admin", "admin")
    page = (await billing.http.get("/api/billing/seals?limit=2", headers=headers)).json()
    assert [seal["number"] for seal in page["data"]] == [3, 2]
    rest = (await billing.http.get(f"/api/billing/seals?before={page['next']}", headers=headers)).json()
    assert [seal["number"] for seal in rest["data"]] == [1]
    assert rest["next"] is None
    assert rest["data"][0]["digest"] == page["data"][1]["previous"]
    bad = await billing.http.post("/api/billing/seals/verify", json={"expect": "zz"}, headers=headers)
    assert bad.status_code == 400
