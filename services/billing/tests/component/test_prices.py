"""The price book: seeded, overridden by people, and on the shelf for every service."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from billing.adapters.list_prices import list_source
from billing.app import create_app
from billing.settings import Settings
from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, Price, PriceBook
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
