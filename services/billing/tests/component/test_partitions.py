"""Monthly tables come ahead of time and leave after it, and the books stay right."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from billing.adapters.postgres.leases import PostgresLeases
from billing.seals.adapters.postgres.closes import PostgresCloses
from billing.seals.adapters.postgres.partitions import PostgresPartitions
from billing.seals.usecases.partitions import Partitions
from common.contracts.holds import HOLD_CHARGE, HOLD_REFUND, HoldCharge, HoldCredit, HoldOpen, HoldRefund
from common.contracts.payables import PAYOUT_POST, PayoutPost
from common.kit.ids import uuid7

USD = 1_000_000_000
DAY_S = 86_400


def keeper(billing: Any, retention_months: int) -> Partitions:
    return Partitions(
        PostgresPartitions(billing.database),
        PostgresCloses(billing.database),
        billing.clock.now,
        3,
        retention_months,
    )


async def spend(billing: Any, account: str, **fields: Any) -> None:
    before = (await billing.rows("SELECT count(*) FROM usage_records"))[0][0]
    await billing.publish(billing.record(account, uuid7(), **fields))
    await billing.until_charged(before + 1)


async def close(billing: Any, month: str) -> None:
    headers = billing.headers("admin", "admin")
    answer = await billing.http.post("/api/billing/closes", json={"month": month}, headers=headers)
    assert answer.status_code == 201, answer.text


async def attached(billing: Any, parent: str) -> set[str]:
    query = (
        "SELECT c.relname FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid"
        " WHERE inhparent = CAST(:parent AS regclass)"
    )
    return {row[0] for row in await billing.rows(query, parent=parent)}


def faults(audit: dict[str, Any]) -> list[Any]:
    return [check for check in audit.values() if not isinstance(check, bool) and not check["ok"]]


async def three_months(billing: Any) -> str:
    """Charges in January, February and March 2026, one of them across the end of January.

    An app's charge of January is given back and paid out in February.
    """
    account = str(await billing.funded("5"))
    await spend(billing, account)
    opening = HoldOpen(uuid7(), account, uuid7(), USD, 60, app="shop", paid_only=True)
    await billing.rpc.call(
        HOLD_CHARGE, HoldCharge(opening, uuid7(), (HoldCredit("app_payable:shop", USD),)), 10
    )
    billing.clock.advance(17 * DAY_S)  # the 1st of February
    await billing.rpc.call(HOLD_REFUND, HoldRefund(opening.hold, uuid7(), USD // 2), 10)
    await billing.rpc.call(PAYOUT_POST, PayoutPost(uuid7(), "shop", account, USD // 4, "external"), 10)
    late = int((billing.clock.time() - DAY_S) * 1000)
    await spend(billing, account, started_at_ms=late)
    billing.clock.advance(28 * DAY_S)
    await spend(billing, account)
    return account


async def test_months_are_made_by_the_ledgers_clock_before_they_come(billing: Any) -> None:
    months = {f"2026_0{month}" for month in range(1, 5)}
    for parent in ("transfers", "usage_records"):
        names = await attached(billing, parent)
        assert {f"{parent}_{month}" for month in months} <= names
    billing.clock.advance(31 * DAY_S)
    assert await keeper(billing, 0).keep() == []
    assert "transfers_2026_05" in await attached(billing, "transfers")


async def test_the_books_stay_right_when_months_leave(billing: Any) -> None:
    account = await three_months(billing)
    await close(billing, "2026-01")
    await close(billing, "2026-02")
    before = await billing.audit(**{"from": "2026-03-01"})
    assert before["ok"], faults(before)
    billing.clock.advance(31 * DAY_S)  # April: with two months kept, January may leave
    gone = [partition.name for partition in await keeper(billing, 2).keep()]
    # Usage that began in January was charged in February, whose transfers are still here.
    assert gone == ["transfers_2026_01"]
    audit = await billing.audit()
    assert audit["ok"], faults(audit)
    assert audit["seals"]["ok"]
    billing.clock.advance(30 * DAY_S)  # May: February leaves, and with it January's usage
    gone = [partition.name for partition in await keeper(billing, 2).keep()]
    assert gone == ["transfers_2026_02", "usage_records_2026_01", "usage_records_2026_02"]
    await billing.change("DELETE FROM inbox WHERE id NOT IN (SELECT id FROM usage_records)")  # kept 14 days
    audit = await billing.audit()
    assert audit["ok"], faults(audit)
    assert "records=1" in audit["charges"]["detail"]
    assert len(await billing.rows("SELECT id FROM usage_records_2026_01")) == 2
    await billing.change(
        "UPDATE accounts SET credits = credits + 1, debits = debits + 1 WHERE name = 'promo'"
    )
    assert not (await billing.audit())["counters"]["ok"]
    assert account


async def test_rows_of_detached_tables_are_verified_until_the_table_is_taken_away(billing: Any) -> None:
    await three_months(billing)
    await close(billing, "2026-01")
    billing.clock.advance(31 * DAY_S)
    await keeper(billing, 2).keep()
    headers = billing.headers("admin", "admin")

    async def verify() -> dict[str, Any]:
        answer = await billing.http.post("/api/billing/seals/verify", json={}, headers=headers)
        report: dict[str, Any] = answer.json()
        return report

    assert (await verify())["ok"]
    await billing.change(
        "ALTER TABLE transfers_2026_01 DROP CONSTRAINT transfers_2026_01_barred",
        "UPDATE transfers_2026_01 SET amount = amount + 1",
    )
    assert not (await verify())["ok"]
    await billing.change("DROP TABLE transfers_2026_01")
    report = await verify()
    assert report["ok"], report
    assert report["unverified"] > 0


async def test_only_closed_months_leave(billing: Any) -> None:
    await three_months(billing)
    billing.clock.advance(200 * DAY_S)
    assert await keeper(billing, 2).keep() == []
    await close(billing, "2026-01")
    assert [row.name for row in await keeper(billing, 2).keep()] == ["transfers_2026_01"]
    headers = billing.headers("admin", "admin")
    listed = (await billing.http.get("/api/billing/partitions", headers=headers)).json()["data"]
    row = next(row for row in listed if row["name"] == "transfers_2026_01")
    assert (row["attached"], row["month"], row["parent"]) == (False, "2026-01", "transfers")


async def test_a_table_in_use_is_left_for_the_next_time_and_traffic_does_not_wait(billing: Any) -> None:
    account = await three_months(billing)
    await close(billing, "2026-01")
    billing.clock.advance(31 * DAY_S)
    await PostgresPartitions(billing.database).create(3, billing.clock.now())
    async with billing.database.engine.connect() as reader:
        await reader.exec_driver_sql("BEGIN")
        await reader.exec_driver_sql("SELECT count(*) FROM transfers")
        assert await keeper(billing, 2).keep() == []
        assert (await billing.topup(account, "1")).status_code == 201
    assert [row.name for row in await keeper(billing, 2).keep()] == ["transfers_2026_01"]


async def test_rows_without_a_month_of_their_own_are_told(billing: Any) -> None:
    keep = keeper(billing, 0)
    await keep.keep()
    assert keep.stray_rows == 0
    account = await billing.funded("5")
    await spend(billing, account, started_at_ms=0)
    await keep.keep()
    assert keep.stray_rows == 1


async def test_ids_of_usage_are_forgotten_after_two_weeks_and_not_before(billing: Any) -> None:
    """The id of version 4 lies among the old ones of version 7, but was received today."""
    old, new, strange = uuid7_at(billing, -15), uuid7_at(billing, -13), "00000000-0000-4000-8000-000000000000"
    insert = (
        "INSERT INTO inbox (consumer, id, received_at)"
        " VALUES ('billing-usage', '{}', now() - interval '{} days')"
    )
    await billing.change(insert.format(old, 15), insert.format(new, 13), insert.format(strange, 0))
    await PostgresLeases(billing.database).prune(billing.clock.now() - timedelta(days=14), 14)
    assert {str(row[0]) for row in await billing.rows("SELECT id FROM inbox")} == {new, strange}


async def test_settled_leases_are_forgotten_after_two_weeks_and_no_others(bare_billing: Any) -> None:
    billing = bare_billing  # without a sweeper
    insert = (
        "INSERT INTO leases (id, replica, account, spender, granted_nano, spent_nano, returned_nano,"
        " sequence, last_answer, state, opened_at, expires_at) VALUES ('{}', 'r', gen_random_uuid(),"
        " gen_random_uuid(), 2, 1, {}, 1, '', '{}', now(), '{}')"
    )
    ids = [uuid7_at(billing, days) for days in (-15, -16, -17, -18, -13)]
    old, yesterday = (billing.clock.now() - timedelta(days=days) for days in (15, 1))
    await billing.change(
        insert.format(ids[0], 1, "expired", old),
        insert.format(ids[1], 1, "closed", yesterday),  # it was renewed for long
        insert.format(ids[2], 0, "closed", old),  # some of it is not settled
        insert.format(ids[3], 0, "open", yesterday),
        insert.format(ids[4], 1, "expired", old),
    )
    await PostgresLeases(billing.database).prune(billing.clock.now() - timedelta(days=14), 14)
    assert {str(row[0]) for row in await billing.rows("SELECT id FROM leases")} == set(ids[1:])


def uuid7_at(billing: Any, days: int) -> str:
    milliseconds = int((billing.clock.time() + days * DAY_S) * 1000)
    return str(UUID(int=(milliseconds << 80) | 0x7000_8000_0000_0000_0001))
