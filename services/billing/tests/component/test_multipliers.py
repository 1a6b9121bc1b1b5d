"""Multipliers: put, listed, deleted, laid out with the book, and every version kept."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, Multiplier, PriceBook
from common.kit.ids import uuid7

PATH = "/api/billing/multipliers"
NIGHT = {"rate": "0.5", "model": "deepseek-*", "from": "22:00", "to": "06:00", "zone": "Asia/Shanghai"}


async def laid_out(billing: Any) -> dict[str, Multiplier]:
    bucket = await billing.bus.jetstream.key_value(PRICES_BUCKET)
    book = msgspec.msgpack.decode((await bucket.get(PRICES_KEY)).value, type=PriceBook)
    return {multiplier.name: multiplier for multiplier in book.multipliers}


async def test_a_multiplier_is_put_replaced_and_deleted(billing: Any) -> None:
    admin = billing.headers(uuid7(), "admin")
    kept = (await billing.http.put(f"{PATH}/night", json=NIGHT, headers=admin)).json()
    assert (kept["name"], kept["rate"], kept["version"], kept["source"]) == ("night", "0.5", 1, "api")
    row = (await laid_out(billing))["night"]
    assert (row.rate_micro, row.from_minute, row.to_minute) == (500_000, 1_320, 360)
    again = (await billing.http.put(f"{PATH}/night", json=NIGHT, headers=admin)).json()
    assert again == kept
    changed = await billing.http.put(f"{PATH}/night", json=NIGHT | {"rate": "0.6"}, headers=admin)
    assert (changed.json()["rate"], changed.json()["version"]) == ("0.6", 2)
    await billing.http.put(f"{PATH}/day", json={"rate": "2"}, headers=admin)
    page = (await billing.http.get(f"{PATH}?limit=1", headers=admin)).json()
    rest = (await billing.http.get(f"{PATH}?after={page['next']}", headers=admin)).json()
    assert [item["name"] for item in page["data"] + rest["data"]] == ["day", "night"]
    gone = await billing.http.delete(f"{PATH}/night", headers=admin)
    assert gone.status_code == 204
    assert set(await laid_out(billing)) == {"day"}
    assert (await billing.http.delete(f"{PATH}/night", headers=admin)).status_code == 404
    back = (await billing.http.put(f"{PATH}/night", json=NIGHT, headers=admin)).json()
    assert back["version"] == 5
    assert await billing.rows("SELECT count(*) FROM multipliers WHERE name = 'night'") == [(4,)]


async def test_two_replicas_give_every_change_a_version_of_its_own(billing: Any) -> None:
    admin = billing.headers(uuid7(), "admin")
    first = billing.http
    await billing.start_replica()
    clients = (first, billing.http)
    await asyncio.gather(
        *(clients[n % 2].put(f"{PATH}/m{n}", json={"rate": "1.5"}, headers=admin) for n in range(8)),
        *(
            clients[n % 2].put(f"/api/billing/prices/m{n}", json={"input": "1"}, headers=admin)
            for n in range(8)
        ),
    )
    versions = await billing.rows("SELECT version FROM prices UNION ALL SELECT version FROM multipliers")
    assert sorted(row[0] for row in versions) == list(range(1, 17))
    assert len(await laid_out(billing)) == 8


async def test_the_file_brings_multipliers_once(billing: Any, tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text('[[multipliers]]\nname = "vip"\nrate = "0.8"\ngroup = "vip"\nweekdays = ["sat", "sun"]\n')
    for _ in range(2):
        await billing.start_replica(bootstrap=str(path))

    async def there() -> bool:
        return bool(await billing.rows("SELECT 1 FROM multipliers"))

    await billing.until(there)
    admin = billing.headers(uuid7(), "admin")
    (item,) = (await billing.http.get(PATH, headers=admin)).json()["data"]
    assert (item["group"], item["weekdays"], item["source"], item["version"]) == (
        "vip",
        ["sat", "sun"],
        "file",
        1,
    )


async def test_bad_multipliers_name_their_field_and_change_nothing(billing: Any) -> None:
    admin, user = billing.headers(uuid7(), "admin"), billing.headers(uuid7())
    for body, param in (
        ({"rate": "-1"}, "rate"),
        ({"rate": "1", "zone": "Moon/Sea"}, "zone"),
        ({"rate": "1", "from": "25:00"}, "from"),
        ({"rate": "1", "valid_to": "2026-01-01T00:00:00"}, "valid_to"),
    ):
        refused = await billing.http.put(f"{PATH}/x", json=body, headers=admin)
        assert (refused.status_code, refused.json()["param"]) == (400, param), body
    for wrong in ({}, {"rate": 1}, {"rate": "1", "weekdays": ["someday"]}, {"rate": "1", "nonsense": 1}):
        assert (await billing.http.put(f"{PATH}/x", json=wrong, headers=admin)).status_code == 400, wrong
    assert (await billing.http.put(f"{PATH}/x", json={"rate": "1"}, headers=user)).status_code == 403
    assert (await billing.http.get(PATH, headers=user)).status_code == 403
    assert (await billing.http.delete(f"{PATH}/x", headers=user)).status_code == 403
    assert await billing.rows("SELECT 1 FROM multipliers") == []
