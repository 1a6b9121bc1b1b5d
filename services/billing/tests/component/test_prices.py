"""The price book: seeded, overridden by people, and on the shelf for every service."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError

from billing.adapters.list_prices import list_source
from billing.app import create_app
from billing.settings import Settings
from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, Price, PriceBook, Tier
from common.kit.bootstrap import BootstrapError
from common.kit.ids import uuid7

FILE = """
[[prices]]
model = "gpt-4o-mini"
input = "0.15"
output = "0.60"
[[prices]]
model = "house-model"
per_call = "0.01"
context_window = 8000
"""


async def shelf(billing: Any) -> PriceBook | None:
    try:
        bucket = await billing.bus.jetstream.key_value(PRICES_BUCKET)
        entry = await bucket.get(PRICES_KEY)
    except Exception:  # noqa: BLE001  not there yet
        return None
    return msgspec.msgpack.decode(entry.value, type=PriceBook)


async def until_priced(billing: Any, model: str, source: str) -> Price:
    found: list[Price] = []

    async def priced() -> bool:
        book = await shelf(billing)
        found[:] = [price for price in (book.prices if book else ()) if price.model == model]
        return bool(found) and found[0].source == source

    await billing.until(priced)
    return found[0]


async def test_the_file_wins_over_the_seed_and_twice_is_once(billing: Any, tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text(FILE)
    await billing.start_replica(bootstrap=str(path), seed_prices=True)
    seeded = await until_priced(billing, "claude-sonnet-4-5", list_source())
    assert seeded.unit_pico["input"] == 3_000_000
    assert [(tier.above, tier.unit_pico["input"]) for tier in seeded.tiers] == [(200_000, 6_000_000)]
    mini = await until_priced(billing, "gpt-4o-mini", "file")
    assert mini.unit_pico == {"input": 150_000, "output": 600_000}
    house = await until_priced(billing, "house-model", "file")
    assert (house.unit_pico, house.context_window) == ({"call": 10_000_000_000}, 8000)
    before = await shelf(billing)
    assert before is not None
    assert len(before.prices) > 1000
    assert len(msgspec.msgpack.encode(before)) < 1_000_000
    await billing.start_replica(bootstrap=str(path), seed_prices=True)
    await billing.topup(uuid7(), "1")
    assert await shelf(billing) == before


async def test_an_admin_puts_a_price_in_force_at_once(billing: Any) -> None:
    admin = billing.headers(uuid7(), "admin")
    path = "/api/billing/prices/vendor/model-"
    body: dict[str, Any] = {"input": "2.5"}
    await asyncio.gather(*(billing.http.put(f"{path}{n}", json=body, headers=admin) for n in range(10)))
    body = {"input": "3", "per_call": "0.1", "max_output": 9}
    response = await billing.http.put(f"{path}3", json=body, headers=admin)
    item = response.json()
    assert (item["model"], item["source"], item["max_output"]) == ("vendor/model-3", "api", 9)
    assert item["prices"] == {"input": "3", "per_call": "0.1"}
    price = await until_priced(billing, "vendor/model-3", "api")
    assert (price.unit_pico, price.version) == ({"input": 3_000_000, "call": 10**11}, item["version"])
    page = (await billing.http.get("/api/billing/prices?limit=4", headers=admin)).json()
    rest = (await billing.http.get(f"/api/billing/prices?after={page['next']}", headers=admin)).json()
    assert [row["model"] for row in page["data"] + rest["data"]] == [f"vendor/model-{n}" for n in range(10)]
    user = billing.headers(uuid7())
    refused = await billing.http.put("/api/billing/prices/x", json={"input": "1"}, headers=user)
    assert refused.status_code == 403
    for wrong_body in ({}, {"input": "-1"}, {"input": "x"}, {"nonsense": "1"}, {"input": 1}):
        wrong = await billing.http.put("/api/billing/prices/x", json=wrong_body, headers=admin)
        assert wrong.status_code == 400, wrong_body


async def test_a_shelf_of_another_life_is_replaced(billing: Any) -> None:
    admin = billing.headers(uuid7(), "admin")
    await billing.http.put("/api/billing/prices/mine", json={"input": "1"}, headers=admin)
    bucket = await billing.bus.jetstream.key_value(PRICES_BUCKET)
    await bucket.put(PRICES_KEY, msgspec.msgpack.encode(PriceBook(99, (Price("old", {"input": 1}),))))
    await billing.start_replica()
    assert (await until_priced(billing, "mine", "api")).version == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[prices]]\nmodel = "m"\ninput = "cheap"\n', "input: not a plain decimal"),
        ('[[prices]]\nmodel = "m"\n', "m has no price"),
        ('[[users]]\nemail = "a@b.c"\ngrant_usd = "ten"\n', "grant_usd"),
    ],
)
def test_a_file_that_cannot_be_applied_stops_the_start(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text(text)
    settings = Settings(
        port=0, ops_port=0, nats_url="", principal_keys="k:sixteen-bytes-long", bootstrap=str(path)
    )
    with pytest.raises(BootstrapError, match=said):
        create_app(settings)


async def put(billing: Any, model: str, **body: Any) -> Any:
    admin = billing.headers(uuid7(), "admin")
    return await billing.http.put(f"/api/billing/prices/{model}", json=body, headers=admin)


async def test_a_price_with_tiers_is_kept_told_and_laid_out_whole(billing: Any) -> None:
    tiers = [{"above": 200_000, "input": "6"}]
    response = await put(billing, "claude-x", input="3", output="15", tiers=tiers)
    assert response.status_code == 200, response.text
    item = response.json()
    assert item["tiers"] == [{"above": 200_000, "prices": {"input": "6", "output": "15"}}]
    price = await until_priced(billing, "claude-x", "api")
    assert price.tiers == (Tier(200_000, {"input": 6_000_000, "output": 15_000_000}),)
    own = billing.headers(uuid7())
    dated = await billing.http.get("/api/billing/prices/claude-x-20250929", headers=own)
    assert dated.json() == item
    assert (await billing.http.get("/api/billing/prices/claude-y", headers=own)).status_code == 404


async def test_a_price_to_come_waits_for_its_time_and_every_version_stays(billing: Any) -> None:
    await put(billing, "vendor/m", input="1")
    billing.clock.advance(1)
    planned = await put(billing, "vendor/m", input="2", effective_from="2026-01-15T13:00:00+00:00")
    assert planned.status_code == 200, planned.text
    assert planned.json()["effective_from"] == "2026-01-15T13:00:00.000+00:00"
    book = await shelf(billing)
    assert book is not None
    assert [price.unit_pico["input"] for price in book.prices] == [1_000_000]
    assert [price.unit_pico["input"] for price in book.upcoming] == [2_000_000]
    own = billing.headers(uuid7())
    page = (await billing.http.get("/api/billing/prices", headers=own)).json()
    assert [row["prices"] for row in page["data"] + page["upcoming"]] == [{"input": "1"}, {"input": "2"}]
    again = await put(billing, "vendor/m", input="2", effective_from="2026-01-15T14:00:00+01:00")
    assert again.json() == planned.json()
    billing.clock.advance(3600)
    now = (await billing.http.get("/api/billing/prices/vendor/m", headers=own)).json()
    assert (now["prices"], now["version"]) == ({"input": "2"}, planned.json()["version"])
    late = await put(billing, "vendor/m", input="3", effective_from="2026-01-15T13:00:00+00:00")
    assert (late.status_code, late.json()["param"]) == (400, "effective_from")
    versions = (await billing.http.get("/api/billing/prices/vendor/m/versions?limit=1", headers=own)).json()
    assert [row["version"] for row in versions["data"]] == [2]
    query = f"before={versions['next']}&limit=1"
    rest = (await billing.http.get(f"/api/billing/prices/vendor/m/versions?{query}", headers=own)).json()
    assert ([row["version"] for row in rest["data"]], rest["next"]) == ([1], None)
    with pytest.raises(DBAPIError, match="immutable"):
        await billing.change("UPDATE prices SET unit_pico = '{}'")


async def test_a_file_may_announce_a_price_and_says_the_same_after_its_day(
    billing: Any, tmp_path: Path
) -> None:
    path = tmp_path / "tollway.toml"
    entry = '[[prices]]\nmodel = "m"\ninput = "{}"\n'
    path.write_text(entry.format(1) + entry.format(2) + 'effective_from = "2026-01-16T00:00:00Z"\n')
    await billing.start_replica(bootstrap=str(path))
    await until_priced(billing, "m", "file")
    billing.clock.advance(86_400)
    await billing.start_replica(bootstrap=str(path))

    async def switched() -> bool:
        book = await shelf(billing)
        return book is not None and [price.unit_pico["input"] for price in book.prices] == [2_000_000]

    await billing.until(switched)
    assert await billing.rows("SELECT count(*) FROM prices") == [(2,)]


async def test_a_price_that_is_none_changes_nothing(billing: Any) -> None:
    for body, param in (
        ({"input": "1", "tiers": [{"above": 10, "output": "2"}]}, "tiers[0]"),
        ({"input": "1", "effective_from": "2027-01-01T00:00:00"}, "effective_from"),
        ({"input": "0.0000001"}, "input"),
    ):
        refused = await put(billing, "m", **body)
        assert (refused.status_code, refused.json()["param"]) == (400, param)
    assert await billing.rows("SELECT 1 FROM prices") == []
