"""Invoices: they add up with the ledger, are issued once and without a gap, and never change."""

import asyncio
import random
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from common.kit.ids import uuid7

USD = 1_000_000_000
DAY_S = 86_400


async def get(billing: Any, account: str, path: str, *scopes: str) -> Any:
    return await billing.http.get(f"/api/billing/{path}", headers=billing.headers(account, *scopes))


async def issue(billing: Any, account: str, month: str, **more: str) -> Any:
    body = {"month": month, **more}
    return await billing.http.post("/api/billing/invoices", json=body, headers=billing.headers(account))


def adds_up(invoice: dict[str, Any]) -> bool:
    usage = sum(Decimal(line["amount"]) for line in invoice["usage"])
    came = sum(Decimal(line["amount"]) for line in invoice["credits"])
    went = sum(Decimal(line["amount"]) for line in invoice["debits"])
    assert (usage, came, went) == tuple(Decimal(invoice[name]) for name in ("charged", "came", "went"))
    return Decimal(invoice["opening"]) + came - went - usage == Decimal(invoice["closing"])


@pytest.mark.parametrize("seed", range(2))
async def test_any_periods_add_up_with_each_other_and_with_the_ledger(billing: Any, seed: int) -> None:
    chance = random.Random(seed)
    account, spender, lease = await billing.funded("0.01"), uuid7(), uuid7()
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD // 200,))
    charges, marks = 0, [billing.clock.now()]
    for _ in range(15):
        billing.clock.advance(chance.choice((1, 20, 5 * DAY_S)))
        if chance.random() < 0.3:
            await billing.topup(account, "0.0005")
        else:
            charges += 1
            record = billing.record(
                account, spender, lease if chance.random() < 0.5 else "", model=chance.choice("abc")
            )
            await billing.publish(record)
            await billing.until_charged(charges)
        if chance.random() < 0.5:
            marks.append(billing.clock.now())
    billing.clock.advance(1)
    edges = [datetime(2020, 1, 1, tzinfo=UTC), *marks, billing.clock.now()]
    edges = sorted(set(edges))
    closing, requests = "0", 0
    for since, until in pairwise(edges):
        span = f"from={since:%Y-%m-%dT%H:%M:%S.%fZ}&to={until:%Y-%m-%dT%H:%M:%S.%fZ}"
        invoice = (await get(billing, account, f"invoices?{span}")).json()
        assert adds_up(invoice)
        assert invoice["opening"] == closing
        assert (invoice["number"], invoice["issued_at"]) == (None, None)
        closing = invoice["closing"]
        requests += sum(line["count"] for line in invoice["usage"])
    assert Decimal(closing) * USD == sum(await billing.balance(account))
    free = await billing.rows("SELECT count(*) FROM usage_records WHERE from_held_nano + overage_nano > 0")
    assert requests == free[0][0]


async def test_a_month_is_issued_once_it_is_over_and_never_changes(billing: Any) -> None:
    account, spender = await billing.funded("1"), uuid7()
    await billing.publish(
        billing.record(account, spender, model="m1"), billing.record(account, spender, model="m2")
    )
    await billing.until_charged(2)
    early = await issue(billing, account, "2026-01")
    assert (early.status_code, early.json()["code"]) == (409, "month_not_over")
    billing.clock.advance(17 * DAY_S)  # 2026-02-01T12:00
    details = {"name": "深圳公司", "address": ["南山区"], "tax_id": "91440300", "email": "a@example.com"}
    headers = billing.headers(account)
    assert (
        await billing.http.post("/api/billing/billing_details", json=details, headers=headers)
    ).json() == details
    assert (await get(billing, account, "billing_details")).json() == details
    answers = await asyncio.gather(*(issue(billing, account, "2026-01") for _ in range(8)))
    invoice = answers[0].json()
    assert all(answer.json() == invoice for answer in answers)
    assert (invoice["number"], invoice["buyer"], invoice["charged"]) == ("INV-000001", details, "0.00042")
    assert [(line["title"], line["count"], line["quantities"]) for line in invoice["usage"]] == [
        ("m1", 1, {"input": 1000, "output": 100}),
        ("m2", 1, {"input": 1000, "output": 100}),
    ]
    assert [(line["title"], line["amount"]) for line in invoice["credits"]] == [("Top-up", "1")]
    assert adds_up(invoice)

    await billing.publish(
        billing.record(account, spender, started_at_ms=1_768_000_000_000)
    )  # of January, late
    await billing.until_charged(3)
    changed = details | {"name": "Somebody else"}
    await billing.http.post("/api/billing/billing_details", json=changed, headers=headers)
    assert (await issue(billing, account, "2026-01")).json() == invoice
    assert (await get(billing, account, "invoices?month=2026-01")).json() == invoice
    assert (await get(billing, account, "invoices/INV-000001")).json() == invoice
    february = (await get(billing, account, "invoices?month=2026-02")).json()
    assert (february["opening"], february["charged"], february["number"]) == (
        invoice["closing"],
        "0.00021",
        None,
    )
    with pytest.raises(Exception, match="immutable"):
        await billing.change("UPDATE invoices SET month = '2020-01-01'")


async def test_numbers_have_no_gap_whatever_is_raced_and_refused(billing: Any) -> None:
    await billing.start_replica()
    accounts = [await billing.funded("1") for _ in range(6)]
    billing.clock.advance(17 * DAY_S)
    idle = uuid7()
    answers = await asyncio.gather(
        *(issue(billing, account, "2026-01") for account in accounts for _ in range(3)),
        *(issue(billing, idle, "2026-01") for _ in range(3)),
    )
    assert [answer.status_code for answer in answers].count(409) == 3
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "nothing_to_invoice"
    numbers = sorted({answer.json()["number"] for answer in answers if answer.status_code == 201})
    assert numbers == [f"INV-{number:06d}" for number in range(1, 7)]
    listed: list[str] = []
    after: str | None = ""
    while after is not None:
        url = f"invoices?account=all&limit=4{after and '&after=' + after}"
        page = (await get(billing, uuid7(), url, "admin")).json()
        listed += [item["number"] for item in page["data"]]
        after = page["next"]
    assert listed == numbers[::-1]
    own = (await get(billing, accounts[0], "invoices?limit=1")).json()
    assert (len(own["data"]), own["next"]) == (1, None)
    assert own["data"][0]["account"] == accounts[0]


async def test_invoices_are_pdfs_too_and_nobody_elses(billing: Any) -> None:
    account = await billing.funded("1")
    billing.clock.advance(17 * DAY_S)
    number = (await issue(billing, account, "2026-01")).json()["number"]
    for path, name in (
        (f"invoices/{number}.pdf", f"{number}.pdf"),
        ("invoices.pdf?month=2026-01", f"{number}.pdf"),
        ("invoices.pdf?month=2026-02", "statement-2026-02-01-2026-03-01.pdf"),
    ):
        answer = await get(billing, account, path)
        assert answer.status_code == 200, answer.text
        assert answer.content.startswith(b"%PDF-")
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    for path in (f"invoices/{number}", f"invoices/{number}.pdf"):
        assert (await get(billing, uuid7(), path)).status_code == 404
        assert (await get(billing, uuid7(), path, "admin")).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("invoices?month=2026-13", 400),
        ("invoices?month=January", 400),
        ("invoices?month=2026-01&from=2026-01-01T00:00:00Z", 400),
        ("invoices?from=2026-01-01T00:00:00Z", 400),
        ("invoices?from=2026-01-01T00:00:00&to=2026-02-01T00:00:00", 400),
        ("invoices?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400),
        ("invoices?after=x", 400),
        ("invoices?limit=501", 400),
        ("invoices?account=all", 403),
        ("invoices.pdf", 400),
        ("invoices/INV-000001", 404),
        ("invoices/INV-99999999999999999999", 404),
        ("invoices/INV-%00", 404),
        ("invoices?month=2026-01&account=01990000-0000-7000-8000-000000000001", 403),
        ("billing_details?account=01990000-0000-7000-8000-000000000001", 403),
    ],
)
async def test_bad_questions_are_refused(billing: Any, path: str, status: int) -> None:
    answer = await get(billing, uuid7(), path)
    assert answer.status_code == status, answer.text
    body: dict[str, Any]
    for body in ({"name": " "}, {"name": "n" * 201}, {"name": "n", "address": ["x"] * 7}, {"name": "\0"}, {}):
        headers = billing.headers(uuid7())
        refused = await billing.http.post("/api/billing/billing_details", json=body, headers=headers)
        assert refused.status_code == 400, body
