"""A charge is explained by the id its client knows, from what its own record keeps."""

from typing import Any

from common.contracts.usage import PriceTerms
from common.kit.ids import uuid7
from common.kit.money import cost_nano

LONG = {"input": 6_000_000, "output": 22_500_000}
SIZES = {"input": 250_000, "output": 100}
TERMS = PriceTerms("claude-x", 200_000, 850_000, {"night": 500_000})


def tiered(billing: Any, account: str, **fields: Any) -> Any:
    values = {
        "model": "claude-x-20250929",
        "quantities": SIZES,
        "unit_pico": LONG,
        "rate_micro": 425_000,
        "cost_nano": cost_nano(SIZES, LONG, 425_000),
        "terms": TERMS,
    }
    return billing.record(account, uuid7(), **(values | fields))


async def test_a_request_is_explained_by_its_id_to_its_own_account(billing: Any) -> None:
    account, other = await billing.funded("10"), await billing.funded("10")
    mine = [tiered(billing, account, request_id="job-1") for _ in range(3)]
    await billing.publish(*mine, tiered(billing, other, request_id="job-1"))
    await billing.until_charged(4)
    own = billing.headers(account)
    page = (await billing.http.get("/api/billing/explain/job-1?limit=2", headers=own)).json()
    query = f"limit=2&before={page['next']}"
    rest = (await billing.http.get(f"/api/billing/explain/job-1?{query}", headers=own)).json()
    assert [item["id"] for item in page["data"] + rest["data"]] == [record.id for record in reversed(mine)]
    assert rest["next"] is None
    item = page["data"][0]
    assert item["terms"] == {
        "model": "claude-x",
        "tier_above": 200_000,
        "group_rate": "0.85",
        "multipliers": {"night": "0.5"},
    }
    assert item["explanation"][:2] == [
        "price of claude-x, version 1 for claude-x-20250929, which has none of its own",
        "tier above 200000 prompt tokens, since the prompt has 250000: its prices hold for the whole request",
    ]
    one = (await billing.http.get(f"/api/billing/explain/{mine[0].id}", headers=own)).json()
    assert [found["id"] for found in one["data"]] == [mine[0].id]
    admin = billing.headers(uuid7(), "admin")
    assert len((await billing.http.get("/api/billing/explain/job-1", headers=admin)).json()["data"]) == 4
    foreign = billing.headers(uuid7())
    for id_ in ("job-1", mine[0].id, uuid7(), "unknown"):
        answer = await billing.http.get(f"/api/billing/explain/{id_}", headers=foreign)
        assert answer.status_code == 404, id_


async def test_terms_are_told_with_the_event_and_the_audit_holds(billing: Any) -> None:
    account = await billing.funded("10")
    await billing.publish(tiered(billing, account))
    event = (await billing.events("usage", 1))[0]
    assert event["terms"]["multipliers"] == {"night": "0.5"}
    assert (event["rate"], event["cost"]) == ("0.425", "0.63845625")
    assert (await billing.audit())["ok"]


async def test_a_record_whose_terms_are_not_true_is_buried(billing: Any) -> None:
    account = await billing.funded("10")
    short = {"input": 200_000}
    false = [
        tiered(billing, account, terms=PriceTerms("claude-x", 200_000, 850_000, {"night": 600_000})),
        tiered(billing, account, quantities=short, cost_nano=cost_nano(short, LONG, 425_000)),
        tiered(billing, account, terms=PriceTerms("claude-x", 0, -1, {})),
    ]
    await billing.publish(*false, tiered(billing, account))
    await billing.until_charged(1)

    async def buried() -> bool:
        info = await billing.bus.jetstream.stream_info("DLQ")
        return bool(info.state.messages == len(false))

    await billing.until(buried)
    assert await billing.rows("SELECT count(*) FROM usage_records") == [(1,)]
