"""Balance history: every transfer with the balance after it, and the balance of any moment."""

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.kit.ids import uuid7

USD = 1_000_000_000


async def history(billing: Any, account: str, query: str = "", limit: int = 3) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        url = f"/api/billing/transfers?limit={limit}{query}{after}"
        answer = await billing.http.get(url, headers=billing.headers(account))
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        if answer.json()["next"] is None:
            return found
        after = f"&after={answer.json()['next']}"


async def balance_at(billing: Any, account: str, at: datetime) -> tuple[str, str]:
    url = f"/api/billing/balance?at={at:%Y-%m-%dT%H:%M:%S.%fZ}"
    body = (await billing.http.get(url, headers=billing.headers(account))).json()
    return body["balance"], body["held"]


async def test_the_history_shows_each_balance_and_adds_up(billing: Any) -> None:
    account, spender, lease = await billing.funded("2"), uuid7(), uuid7()
    billing.clock.advance(1)
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD // 2,))
    billing.clock.advance(1)
    await billing.publish(billing.record(account, spender, lease))
    await billing.until_charged(1)
    billing.clock.advance(1)
    await billing.topup(account, "1")
    rows = await history(billing, account)
    assert [(row["kind"], row["amount"], row["change"], row["balance"], row["held"]) for row in rows] == [
        ("topup", "1", "1", "2.5", None),
        ("usage", "0.00021", "-0.00021", None, "0.49979"),
        ("lease_grant", "0.5", "0", "1.5", "0.5"),
        ("topup", "2", "2", "2", None),
    ]
    assert (rows[1]["debit"], rows[1]["credit"]) == (f"held:{account}", "revenue")
    assert sum(Decimal(row["change"]) for row in rows) == Decimal("2.99979")
    assert [row["kind"] for row in await history(billing, account, "&kind=topup", 1)] == ["topup", "topup"]
    posted = datetime.fromisoformat(rows[1]["posted_at"])
    span = f"&from={posted:%Y-%m-%dT%H:%M:%SZ}&to={posted + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    assert [row["kind"] for row in await history(billing, account, span)] == ["usage"]
    assert await balance_at(billing, account, posted) == ("1.5", "0.5")
    assert await balance_at(billing, account, posted + timedelta(microseconds=1)) == ("1.5", "0.49979")
    assert await balance_at(billing, account, posted - timedelta(days=1)) == ("0", "0")
    assert await balance_at(billing, uuid7(), posted) == ("0", "0")


@pytest.mark.parametrize("seed", range(2))
async def test_the_balance_of_a_moment_is_that_of_the_transfers_before_it_even_if_clocks_differ(
    billing: Any, seed: int
) -> None:
    account, spender = uuid7(), uuid7()
    chance = random.Random(seed)
    start = billing.clock.now()
    charges = 0
    for _ in range(25):
        billing.clock.advance(chance.choice((0, 1, 3600, 86_400)))
        if chance.random() < 0.5:
            await billing.topup(account, "0.001")
        else:
            charges += 1
            await billing.publish(billing.record(account, spender))
            await billing.until_charged(charges)
    query = (
        "SELECT position, posted_at, debit_account = a.id, credit_account = a.id, amount"
        " FROM transfers t, accounts a WHERE a.name = 'wallet:' || CAST(:account AS text)"
        " AND t.customer = CAST(:account AS uuid)"
        " ORDER BY position"
    )
    # One replica's clock was behind another's: the order of the ledger is that of positions all the same.
    await billing.change(
        "ALTER TABLE transfers DISABLE TRIGGER USER",
        "UPDATE transfers SET posted_at = posted_at - interval '2 seconds' WHERE position % 3 = 0",
    )
    rows = await billing.rows(query, account=account)
    for _ in range(30):
        at = start + timedelta(seconds=chance.uniform(-5, 20 * 86_400))
        cut = max((row[0] for row in rows if row[1] < at), default=0)
        expected = sum(row[4] * (row[3] - row[2]) for row in rows if row[0] <= cut)
        balance, held = await balance_at(billing, account, at)
        assert (Decimal(balance) * USD, held) == (expected, "0")


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("transfers?after=x", 400, "after"),
        ("transfers?after=99999999999999999999-1", 400, "after"),
        ("transfers?after=999999999999999999-1", 400, "after"),
        ("transfers?from=2026-01-01T00:00:00", 400, "from"),
        ("transfers?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", 400, "to"),
        ("transfers?kind=%00", 400, "kind"),
        ("transfers?limit=1000000", 400, None),
        ("transfers?account=01990000-0000-7000-8000-000000000001", 403, None),
        ("balance", 400, None),
        ("balance?at=2026-01-01T00:00:00", 400, "at"),
        ("balance?at=now", 400, "at"),
        ("balance?at=2026-01-01T00:00:00Z&account=01990000-0000-7000-8000-000000000001", 403, None),
    ],
)
async def test_bad_questions_are_refused(billing: Any, path: str, status: int, param: str | None) -> None:
    answer = await billing.http.get(f"/api/billing/{path}", headers=billing.headers(uuid7()))
    assert answer.status_code == status, answer.text
    if param:
        assert answer.json()["param"] == param
