"""Past usage priced again under a draft, from the database, exactly."""

from typing import Any

from common.kit.ids import uuid7
from common.kit.money import format_usd

PATH = "/api/billing/prices/simulate"
DAY = {"from": "2026-01-15T00:00:00Z", "to": "2026-01-16T00:00:00Z"}
COST = 210_000  # of conftest's record: 1000 input at 0.15 and 100 output at 0.60 a million


async def simulate(billing: Any, **body: Any) -> Any:
    admin = billing.headers(uuid7(), "admin")
    response = await billing.http.post(PATH, json=DAY | body, headers=admin)
    assert response.status_code == 200, response.text
    return response.json()


async def used(billing: Any, count: int, account: str = "", **fields: Any) -> str:
    account = account or await billing.funded("10")
    await billing.publish(*(billing.record(account, uuid7(), **fields) for _ in range(count)))
    return account


async def priced(billing: Any) -> None:
    admin = billing.headers(uuid7(), "admin")
    body = {"input": "0.15", "output": "0.60"}
    await billing.http.put("/api/billing/prices/gpt-4o-mini", json=body, headers=admin)


async def test_a_draft_shows_who_pays_how_much_more_or_less(billing: Any) -> None:
    await priced(billing)
    heavy = await used(billing, 600)  # more than one piece
    light = await used(billing, 2, model="gpt-4o-mini-2024-07-18")
    vip = await used(billing, 4, group="vip")
    await billing.until_charged(606)
    same = await simulate(billing)
    assert same["total"] == {
        "requests": 606,
        "old": format_usd(606 * COST),
        "new": format_usd(606 * COST),
        "difference": "0",
        "percent": "0",
    }
    draft = {
        "prices": [{"model": "gpt-4o-mini", "input": "0.30", "output": "0.60"}],
        "multipliers": [{"name": "vip", "group": "vip", "rate": "0.1"}],
    }
    report = await simulate(billing, **draft)
    assert [row["account"] for row in report["accounts"]] == [heavy, light, vip]
    assert report["accounts"][0] == {
        "account": heavy,
        "requests": 600,
        "old": format_usd(600 * COST),
        "new": format_usd(600 * 360_000),
        "difference": format_usd(600 * 150_000),
        "percent": "71.43",
    }
    assert (report["accounts"][2]["new"], report["accounts"][2]["percent"]) == (
        format_usd(4 * 36_000),
        "-82.86",
    )
    assert {row["model"]: row["requests"] for row in report["models"]} == {
        "gpt-4o-mini": 604,
        "gpt-4o-mini-2024-07-18": 2,
    }
    assert report["total"]["new"] == format_usd(602 * 360_000 + 4 * 36_000)
    few = await simulate(billing, **draft, limit=1)
    assert ([row["account"] for row in few["accounts"]], few["accounts_total"]) == ([heavy], 3)
    for narrowed, requests in (
        ({"account": light}, 2),
        ({"model": "gpt-4o-mini-*"}, 2),
        ({"model": "gpt_4o*"}, 0),
        ({"group": "vip"}, 4),
        ({"from": "2026-01-15T12:00:01Z"}, 0),
    ):
        assert (await simulate(billing, **narrowed))["total"]["requests"] == requests, narrowed
    book = await billing.rows("SELECT count(*) FROM prices")
    assert book == [(1,)]
    assert await billing.rows("SELECT 1 FROM multipliers") == []


async def test_what_has_no_price_keeps_its_cost(billing: Any) -> None:
    await used(billing, 3, model="nobody-knows")
    await billing.until_charged(3)
    report = await simulate(billing)
    assert (report["unpriced"], report["total"]["new"]) == (3, format_usd(3 * COST))


async def test_bad_questions_name_their_field(billing: Any) -> None:
    admin = billing.headers(uuid7(), "admin")
    for body, param in (
        ({"to": DAY["to"]}, "from"),
        ({"from": DAY["from"]}, "to"),
        ({"from": "2026-01-15T00:00:00", "to": DAY["to"]}, "from"),
        ({"from": DAY["to"], "to": DAY["from"]}, "to"),
        ({**DAY, "to": "2028-01-01T00:00:00Z"}, "to"),
        ({**DAY, "account": "me"}, "account"),
        ({**DAY, "prices": [{"model": "m"}]}, "input"),
        ({**DAY, "multipliers": [{"name": "m", "rate": "-1"}]}, "rate"),
    ):
        refused = await billing.http.post(PATH, json=body, headers=admin)
        assert (refused.status_code, refused.json()["param"]) == (400, param), body
    for wrong in ({**DAY, "limit": 0}, {**DAY, "prices": [{"model": "m", "cheap": "1"}]}):
        assert (await billing.http.post(PATH, json=wrong, headers=admin)).status_code == 400
    assert (await billing.http.post(PATH, json=DAY, headers=billing.headers(uuid7()))).status_code == 403
