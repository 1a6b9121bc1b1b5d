"""/api/channels, the table behind it, and the bootstrap file."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chat_relay.adapters.vault import KeyVault
from chat_relay.app import create_app
from chat_relay.settings import Settings
from common.kit.bootstrap import BootstrapError
from common.kit.money import cost_nano

KEY = "sk-live-abcdefghijklmnop"


async def call(relay: Any, method: str, path: str, **options: Any) -> Any:
    answer = await relay.http.request(method, path, headers=relay.admin(), **options)
    return answer.status_code, (answer.json() if answer.content else None)


async def test_a_channel_is_made_changed_and_removed_and_routes_follow_at_once(relay: Any) -> None:
    await relay.put_prices("gpt-new")
    channel = {
        "name": "second",
        "kind": "openai",
        "base_url": f"{relay.simulator_url}/openai/v1/",
        "models": ["gpt-new"],
        "api_key": [KEY, "short"],
    }
    status, made = await call(relay, "POST", "/api/channels", json=channel)
    assert status == 201
    assert (made["key_count"], made["key_endings"], made["priority"]) == (2, ["mnop", ""], 0)
    assert (await relay.post(relay.chat("gpt-new"))).status_code == 200
    status, changed = await call(relay, "PATCH", "/api/channels/second", json={"enabled": False, "weight": 4})
    assert (status, changed["enabled"], changed["weight"], changed["key_count"]) == (200, False, 4, 2)
    assert (await relay.post(relay.chat("gpt-new"))).status_code == 404
    status, page = await call(relay, "GET", "/api/channels?limit=1")
    assert ([view["name"] for view in page["data"]], page["next"]) == (["second"], "second")
    status, page = await call(relay, "GET", "/api/channels?after=second")
    assert ([view["name"] for view in page["data"]], page["next"]) == (["sim"], None)
    assert (await call(relay, "DELETE", "/api/channels/second"))[0] == 204
    assert (await call(relay, "DELETE", "/api/channels/second"))[0] == 404


async def test_what_the_upstream_takes_is_kept_with_the_channel_and_stands_on_the_record(relay: Any) -> None:
    _, seen = await call(relay, "GET", "/api/channels")
    assert (seen["data"][0]["cost_rate"], seen["data"][0]["costs"]) == (None, [])
    assert (await relay.post(relay.chat())).status_code == 200
    assert (await relay.billing.record()).upstream_cost_nano is None
    relay.billing.records.clear()
    _, changed = await call(relay, "PATCH", "/api/channels/sim", json={"cost_rate": "0.5"})
    assert changed["cost_rate"] == "0.5"
    assert (await relay.post(relay.chat())).status_code == 200
    record = await relay.billing.record()
    full = cost_nano(record.quantities, record.unit_pico, 500_000)
    assert (record.upstream_cost_nano, record.app) == (full, "")
    relay.billing.records.clear()
    costs = [{"model": "gpt-*", "per_call": "0", "input": "1", "output": "0.000001"}]
    _, changed = await call(relay, "PATCH", "/api/channels/sim", json={"costs": costs, "cost_rate": None})
    assert (changed["cost_rate"], changed["costs"]) == (
        None,
        [{"model": "gpt-*", "input": "1", "output": "0.000001", "per_call": "0"}],
    )
    assert (await relay.post(relay.chat())).status_code == 200
    record = await relay.billing.record()
    prices = {"input": 1_000_000, "output": 1}
    assert record.upstream_cost_nano == cost_nano(record.quantities, prices, 1_000_000)
    for change in (
        {"cost_rate": "-1"},
        {"costs": [{"model": "m"}]},
        {"costs": [{"model": "m", "input": "x"}]},
    ):
        status, problem = await call(relay, "PATCH", "/api/channels/sim", json=change)
        assert (status, problem["param"]) == (400, next(iter(change)))


async def test_a_key_is_never_shown_and_lies_encrypted(relay: Any) -> None:
    await relay.add_channel("secret", api_key=KEY)
    connection = await asyncpg.connect(relay.settings.database_url)
    row = await connection.fetchrow("SELECT * FROM channels WHERE name = 'secret'")
    await connection.close()
    assert KEY.encode() not in row["api_keys_encrypted"]
    assert KEY not in str(dict(row))
    assert KeyVault(relay.settings.secret_key).open("secret", row["api_keys_encrypted"]) == (KEY,)
    answer = await relay.http.get("/api/channels", headers=relay.admin())
    assert KEY not in answer.text


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"kind": "anthropic"}, "kind"),
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"base_url": "https://user:pw@example.com"}, "base_url"),
        ({"models": []}, "models"),
        ({"name": ""}, "name"),
        ({"weight": -1}, "weight"),
        ({"api_key": "sk\r\nx-evil: 1"}, "api_key"),
    ],
)
async def test_a_bad_channel_is_refused_by_field(relay: Any, change: dict[str, Any], param: str) -> None:
    channel = {"name": "x", "kind": "openai", "base_url": "https://api.example.com/v1", "models": ["m"]}
    status, problem = await call(relay, "POST", "/api/channels", json=channel | change)
    assert (status, problem["param"]) == (400, param)
    if param == "kind":
        assert "anthropic" in problem["detail"]


async def test_a_taken_name_is_a_conflict(relay: Any) -> None:
    channel = {"name": "sim", "kind": "openai", "base_url": "https://api.example.com/v1", "models": ["m"]}
    status, problem = await call(relay, "POST", "/api/channels", json=channel)
    assert (status, problem["param"]) == (409, "name")


async def test_channels_are_for_admins(relay: Any) -> None:
    answer = await relay.http.get("/api/channels", headers=relay.headers())
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_another_replica_hears_of_a_change(start_relay: Any) -> None:
    first = await start_relay()
    second = await start_relay(database_url=first.settings.database_url, channels_reload_s=600)
    await first.add_channel()
    await second.eventually(lambda: second.parts.channels.table.serves("gpt-4o-mini", "default"), 3)
    answer = await second.post(second.chat())
    assert answer.status_code == 200


async def test_the_bootstrap_file_wins_on_its_names_and_applying_it_twice_changes_nothing(
    start_relay: Any, tmp_path: Path
) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text(
        '[[channels]]\nname = "filed"\nkind = "openai"\nbase_url = "https://api.example.com/v1"\n'
        'api_key = "sk-filed-123456"\nmodels = ["m"]\nmodel_map = { m = "m-2" }\n'
        '[[channels]]\nname = "art"\nkind = "midjourney"\nbase_url = "https://mj.example.com"\n'
        'models = ["mj"]\n'
    )
    first = await start_relay(bootstrap=str(path))
    await first.add_channel("mine")
    connection = await asyncpg.connect(first.settings.database_url)
    rows = "SELECT name, changed_at, api_keys_encrypted FROM channels WHERE name <> 'mine'"
    before = await connection.fetch(rows)
    assert [row["name"] for row in before] == ["filed"]
    second = await start_relay(database_url=first.settings.database_url, bootstrap=str(path))
    assert await connection.fetch(rows) == before
    path.write_text(path.read_text().replace("m-2", "m-3"))
    await start_relay(database_url=first.settings.database_url, bootstrap=str(path))
    assert len(await connection.fetch(rows)) == 1
    assert await connection.fetch(rows) != before
    await connection.close()
    _, page = await call(second, "GET", "/api/channels")
    assert [view["name"] for view in page["data"]] == ["filed", "mine"]


def test_a_kind_that_nobody_serves_ends_the_service_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text(
        '[[channels]]\nname = "c"\nkind = "azure"\nbase_url = "https://x.example"\nmodels = ["m"]\n'
    )
    settings = Settings(
        port=1,
        ops_port=2,
        nats_url="nats://127.0.0.1:1",
        principal_keys="k1:" + "s" * 32,
        secret_key="s" * 16,
        bootstrap=str(path),
    )
    with pytest.raises(BootstrapError, match="azure"):
        create_app(settings)
