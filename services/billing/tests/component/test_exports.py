"""Exports: the whole of what a list would show page by page, in files that other programs read."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

from billing.statements.usecases.exports import PAGE
from common.kit.ids import uuid7


async def export(billing: Any, account: str, query: str) -> Any:
    answer = await billing.http.get(f"/api/billing/usage/export?{query}", headers=billing.headers(account))
    assert answer.status_code == 200, answer.text
    return answer


async def test_every_format_holds_what_the_list_shows_and_what_the_ledger_took(billing: Any) -> None:
    account, spender = await billing.funded("1"), uuid7()
    count = PAGE + 7  # more than one page
    for _ in range(count):
        billing.clock.advance(0.001)
        await billing.publish(billing.record(account, spender, model='模型, "a"\n'))
    await billing.until_charged(count)
    listed: list[dict[str, Any]] = []
    before: str | None = ""
    while before is not None:
        url = f"/api/billing/usage?limit=500{before and '&before=' + before}"
        page = (await billing.http.get(url, headers=billing.headers(account))).json()
        listed += page["data"]
        before = page["next"]
    ids = [item["id"] for item in listed]
    assert len(ids) == len(set(ids)) == count

    as_csv = await export(billing, account, "format=csv")
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert as_csv.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    assert as_csv.content.count(b"\r\n") == count + 1
    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode(), newline="")))
    assert [row["id"] for row in rows] == ids
    assert rows[0]["model"] == '模型, "a"\n'
    assert (rows[0]["quantity_input"], rows[0]["quantity_call"]) == ("1000", "")
    assert json.loads(rows[0]["unit_prices"]) == listed[0]["unit_prices"]
    taken = Decimal(1) - sum(map(Decimal, (await wallet(billing, account)).values()))
    assert sum(Decimal(row["charged"]) for row in rows) == taken > 0

    as_json = (await export(billing, account, "format=json")).json()
    as_lines = [
        json.loads(line) for line in (await export(billing, account, "format=jsonl")).text.splitlines()
    ]
    assert as_json == as_lines
    assert [row["id"] for row in as_json] == ids
    for row, item in zip(as_json, listed, strict=True):
        assert {name: row[name] for name in item if name in row and name != "started_at"} == {
            name: item[name] for name in item if name in row and name != "started_at"
        }


async def wallet(billing: Any, account: str) -> dict[str, str]:
    body = (await billing.http.get("/api/billing/wallet", headers=billing.headers(account))).json()
    return {name: body[name] for name in ("balance", "held")}


async def test_a_text_that_a_spreadsheet_would_run_is_disarmed(billing: Any) -> None:
    account, spender = await billing.funded(), uuid7()
    for model in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "plain"):
        await billing.publish(billing.record(account, spender, model=model))
    await billing.until_charged(6)
    rows = csv.DictReader(io.StringIO((await export(billing, account, "format=csv")).text, newline=""))
    assert {row["model"] for row in rows} == {"'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "plain"}


async def test_filters_hold_and_an_empty_export_is_a_whole_file(billing: Any) -> None:
    account, spender = await billing.funded(), uuid7()
    await billing.publish(
        billing.record(account, spender, model="a"), billing.record(account, spender, model="b")
    )
    await billing.until_charged(2)
    assert [row["model"] for row in (await export(billing, account, "format=json&model=b")).json()] == ["b"]
    period = "from=2030-01-01T00:00:00Z&to=2030-02-01T00:00:00Z"
    nothing = await export(billing, account, f"format=json&{period}")
    assert nothing.json() == []
    named = 'attachment; filename="usage-20300101T000000Z-20300201T000000Z.json"'
    assert nothing.headers["content-disposition"] == named
    assert len((await export(billing, account, f"format=csv&{period}")).text.splitlines()) == 1
    assert (await export(billing, account, f"format=jsonl&{period}")).content == b""
    headers = billing.headers(account)
    for query in ("format=xml", ""):
        refused = await billing.http.get(f"/api/billing/usage/export?{query}", headers=headers)
        assert refused.status_code == 400
    admin = billing.headers("admin", "admin")  # its account is no UUID: nothing was ever charged to it
    own = await billing.http.get("/api/billing/usage/export?format=json", headers=admin)
    assert own.json() == []
