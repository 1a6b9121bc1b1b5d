"""Closed months: what refuses to close, what a close keeps, and that nothing is posted there afterwards."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from billing.seals.domain.closes import check_closable, month_after, parse_month
from common.contracts.errors import ConflictError, InvalidRequestError
from common.kit.ids import uuid7
from common.testing.clock import FakeClock

USD = 1_000_000_000
DAY_S = 86_400


async def close(billing: Any, month: str, *, status: int = 201) -> dict[str, Any]:
    headers = billing.headers("admin", "admin")
    answer = await billing.http.post("/api/billing/closes", json={"month": month}, headers=headers)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def spend(billing: Any, account: str, records: int = 1) -> None:
    spender, lease = uuid7(), uuid7()
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD // 2,))
    before = (await billing.rows("SELECT count(*) FROM usage_records"))[0][0]
    await billing.publish(*(billing.record(account, spender, lease) for _ in range(records)))
    await billing.until_charged(before + records)
    await billing.close(lease, 1, USD)


async def test_a_month_is_closed_once_and_its_row_never_changes(billing: Any) -> None:
    account = await billing.funded("5")
    await spend(billing, account, 3)
    billing.clock.advance(20 * DAY_S)
    first = await close(billing, "2026-01")
    assert first["transfers"] == (await billing.rows("SELECT count(*) FROM transfers"))[0][0]
    assert first["records"] == 3
    assert first["previous"] == "0" * 64
    head = await billing.rows("SELECT digest FROM seals ORDER BY number DESC LIMIT 1")
    assert first["head"] == head[0][0].hex()
    await spend(billing, account)
    assert await close(billing, "2026-01") == first
    with pytest.raises(DBAPIError, match="immutable"):
        await billing.change("UPDATE closes SET transfers = 0")
    billing.clock.advance(30 * DAY_S)
    second = await close(billing, "2026-02")
    assert second["previous"] == first["digest"]
    assert second["records"] == 1
    headers = billing.headers("admin", "admin")
    listed = (await billing.http.get("/api/billing/closes", headers=headers)).json()
    assert listed == {"data": [first, second], "next": None}
    assert (await billing.audit())["ok"]


async def test_what_is_kept_is_what_the_accounts_had_come_to(billing: Any) -> None:
    account = await billing.funded("5")
    await spend(billing, account)
    billing.clock.advance(20 * DAY_S)
    await close(billing, "2026-01")
    kept = "SELECT b.account, b.debits, b.credits FROM close_balances AS b WHERE month = '2026-01-01'"
    now = "SELECT id, debits, credits FROM accounts WHERE debits + credits > 0"
    assert set(await billing.rows(kept)) == set(await billing.rows(now))


async def test_months_that_cannot_be_closed_say_why(billing: Any) -> None:
    await billing.funded("5")
    assert "is not over" in (await close(billing, "2026-01", status=409))["detail"]
    assert (await close(billing, "2026-13", status=400))["param"] == "month"
    billing.clock.advance(80 * DAY_S)
    await close(billing, "2026-01")
    assert "Close 2026-02 first" in (await close(billing, "2026-03", status=409))["detail"]
    assert "before the first close" in (await close(billing, "2025-12", status=409))["detail"]
    answer = await billing.http.post(
        "/api/billing/closes", json={"month": "2026-02"}, headers=billing.headers(uuid7())
    )
    assert answer.status_code == 403


async def test_a_month_with_a_fault_is_not_closed(billing: Any) -> None:
    account = await billing.funded("5")
    await spend(billing, account)
    await billing.change("UPDATE usage_records SET cost_nano = cost_nano + 1, overage_nano = 1")
    billing.clock.advance(20 * DAY_S)
    answer = await close(billing, "2026-01", status=409)
    assert answer["code"] == "not_closable"
    assert "charges" in answer["detail"]
    assert await billing.rows("SELECT month FROM closes") == []


async def test_nothing_is_posted_into_a_closed_month_by_a_clock_that_was_set_back(billing: Any) -> None:
    account = await billing.funded("5")
    billing.clock.advance(20 * DAY_S)
    await close(billing, "2026-01")
    sane = billing.clock
    billing.clock = FakeClock(datetime(2026, 1, 20, tzinfo=UTC))
    await billing.start_replica()
    billing.clock, late = sane, billing.clock
    assert (await billing.topup(account, "1")).status_code == 201
    posted = await billing.rows("SELECT posted_at FROM transfers ORDER BY position DESC LIMIT 1")
    assert posted[0][0] == datetime(2026, 2, 1, tzinfo=UTC)
    assert late.now() < posted[0][0]
    with pytest.raises(DBAPIError, match="transfers_2026_01_barred"):
        await billing.change(
            "INSERT INTO transfers (id, kind, debit_account, credit_account, amount, debit_after,"
            " credit_after, reference, posted_at) VALUES (gen_random_uuid(), 'late', 1, 2, 1, 0, 0,"
            " gen_random_uuid(), '2026-01-31 23:59:59+00')"
        )
    with pytest.raises(DBAPIError, match="transfers_default_barred"):
        await billing.change(
            "INSERT INTO transfers (id, kind, debit_account, credit_account, amount, debit_after,"
            " credit_after, reference, posted_at) VALUES (gen_random_uuid(), 'late', 1, 2, 1, 0, 0,"
            " gen_random_uuid(), '2025-12-31 23:59:59+00')"
        )


async def test_a_clock_that_was_set_back_never_posts_before_what_is_posted(billing: Any) -> None:
    account = await billing.funded("5")
    newest = billing.clock.now()
    billing.clock = FakeClock(newest - timedelta(days=40))
    await billing.start_replica()
    await billing.topup(account, "1")
    times = await billing.rows("SELECT posted_at FROM transfers ORDER BY position")
    assert [row[0] for row in times] == [newest, newest]


async def test_late_usage_of_a_closed_month_is_charged_in_the_present(billing: Any) -> None:
    account = await billing.funded("5")
    billing.clock.advance(20 * DAY_S)
    await close(billing, "2026-01")
    started = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    record = billing.record(account, uuid7(), started_at_ms=int(started.timestamp() * 1000))
    await billing.publish(record)
    await billing.until_charged(1)
    row = (await billing.rows("SELECT started_at, posted_at FROM usage_records"))[0]
    assert row.started_at == started
    assert row.posted_at == billing.clock.now()
    assert (await billing.audit())["ok"]
    period = await billing.audit(**{"from": "2026-02-01"})
    assert period["ok"], period
    assert "records=1" in period["charges"]["detail"]
    assert "records=0" in (await billing.audit(to="2026-02-01"))["charges"]["detail"]


@pytest.mark.parametrize(
    ("check", "statement"),
    [
        ("movements", "UPDATE transfers SET amount = amount + 1 WHERE kind = 'lease_return'"),
        ("movements", "UPDATE transfers SET credit_after = credit_after + 1 WHERE kind = 'topup'"),
        ("charges", "UPDATE transfers SET amount = amount + 1 WHERE kind = 'usage'"),
        ("charges", "UPDATE usage_records SET rate_micro = rate_micro + 1000"),
        ("sequences", "UPDATE usage_records SET sequence = sequence + 1 WHERE sequence = 2"),
    ],
)
async def test_a_period_finds_its_own_faults_and_no_others(billing: Any, check: str, statement: str) -> None:
    january = await billing.funded("5")
    await spend(billing, january, 2)
    billing.clock.advance(20 * DAY_S)
    february = await billing.funded("5")
    await spend(billing, february, 2)
    for body in ({"to": "2026-02-01"}, {"from": "2026-02-01"}, {"from": "2026-01-01", "to": "2026-03-01"}):
        report = await billing.audit(**body)
        assert report["ok"], report
    await billing.change(
        "ALTER TABLE transfers DISABLE TRIGGER transfers_immutable",
        f"{statement} {'AND' if 'WHERE' in statement else 'WHERE'} posted_at < '2026-02-01'",
    )
    report = await billing.audit(to="2026-02-01")
    assert not report[check]["ok"], report
    assert (await billing.audit(**{"from": "2026-02-01"}))["ok"]


async def test_a_period_that_is_none_is_refused(billing: Any) -> None:
    headers = billing.headers("admin", "admin")
    for body in ({"from": "yesterday"}, {"to": "2026-13-01"}, {"from": "2026-02-01", "to": "2026-02-01"}):
        answer = await billing.http.post("/api/billing/audit", json=body, headers=headers)
        assert answer.status_code == 400, body


def test_months_follow_each_other() -> None:
    assert month_after(parse_month("2026-12")) == parse_month("2027-01")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    check_closable(parse_month("2026-02"), parse_month("2026-01"), now)
    with pytest.raises(ConflictError):
        check_closable(parse_month("2026-02"), None, now - timedelta(microseconds=1))
    for bad in ("2026-1", "26-01", "2026-00", "2026-01-01", ""):
        with pytest.raises(InvalidRequestError):
            parse_month(bad)
