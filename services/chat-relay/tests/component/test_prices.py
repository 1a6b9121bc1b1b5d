"""What a request costs is frozen when it starts: price, tier, multipliers; with billing away as well."""

import asyncio
import time
from typing import Any

import msgspec

from common.contracts.errors import UnavailableError
from common.contracts.prices import PRICES_BUCKET, PRICES_KEY, Multiplier, Price, PriceBook, Tier
from common.contracts.usage import PriceTerms, UsageRecord
from common.kit.money import cost_nano

MODEL = "gpt-4o-mini"
OLD = {"input": 150_000, "output": 600_000}
NEW = {"input": 300_000, "output": 900_000}


async def lay_out(relay: Any, *prices: Price, **parts: Any) -> None:
    bucket = await relay.bus.jetstream.key_value(PRICES_BUCKET)
    version = time.time_ns()
    await bucket.put(PRICES_KEY, msgspec.msgpack.encode(PriceBook(version, prices, **parts)))
    await relay.eventually(lambda: relay.parts.prices.version == version)


def adds_up(record: UsageRecord) -> bool:
    return record.cost_nano == cost_nano(record.quantities, record.unit_pico, record.rate_micro)


async def test_a_price_to_come_takes_effect_while_billing_is_away(start_relay: Any) -> None:
    relay = await start_relay(lease_idle_s=60)
    await relay.add_channel()
    at_ms = time.time_ns() // 1_000_000 + 1_500
    later = Price(MODEL, NEW, 8, effective_from_ms=at_ms)
    await lay_out(relay, Price(MODEL, OLD, 7), upcoming=(later,))
    assert (await relay.post(relay.chat())).status_code == 200
    relay.billing.refuse = UnavailableError("away")
    await relay.eventually(lambda: time.time_ns() // 1_000_000 >= at_ms)
    assert (await relay.post(relay.chat())).status_code == 200
    await relay.billing.until(lambda: len(relay.billing.records) == 2)
    before, after = sorted(relay.billing.records, key=lambda record: record.started_at_ms)
    assert before.started_at_ms < at_ms <= after.started_at_ms
    assert (before.price_version, before.unit_pico) == (7, OLD)
    assert (after.price_version, after.unit_pico) == (8, NEW)
    assert adds_up(before)
    assert adds_up(after)


async def test_a_stream_that_began_before_keeps_its_price(relay: Any) -> None:
    model = "sim-tokens-40+slow-chunks-20ms"
    await relay.add_channel("slow", models=[model])
    at_ms = time.time_ns() // 1_000_000 + 700
    await lay_out(relay, Price(model, OLD, 7), upcoming=(Price(model, NEW, 8, effective_from_ms=at_ms),))
    await relay.post(relay.chat(model, stream=True))
    record = await relay.billing.record()
    assert record.started_at_ms < at_ms < record.started_at_ms + record.duration_ms
    assert (record.price_version, record.unit_pico) == (7, OLD)


async def test_the_prompt_that_came_decides_the_tier_and_the_hold_covered_it(relay: Any) -> None:
    edge = 40
    await lay_out(relay, Price(MODEL, OLD, 7, tiers=(Tier(edge, NEW),)))
    for words in (5, 200):
        assert (await relay.post(relay.chat(text="word " * words, max_tokens=100))).status_code == 200
    await relay.billing.until(lambda: len(relay.billing.records) == 2)
    short, long = sorted(relay.billing.records, key=lambda record: record.quantities["input"])
    assert short.quantities["input"] <= edge < long.quantities["input"]
    assert (short.unit_pico, short.terms) == (OLD, None)
    assert (long.unit_pico, long.terms) == (NEW, PriceTerms(MODEL, edge, 1_000_000, {}))
    for record in (short, long):
        assert adds_up(record)
        assert record.cost_nano <= record.reserved_nano


async def test_the_record_tells_group_rate_and_multipliers(relay: Any) -> None:
    multipliers = (
        Multiplier("sale", 500_000, model="gpt-*"),
        Multiplier("vip", 900_000, group="vip"),
        Multiplier("others", 1, group="nobody"),
    )
    await lay_out(relay, Price(MODEL, OLD, 7), multipliers=multipliers)
    await relay.add_channel("vip", groups=["vip"])
    headers = relay.headers(rate_micro=850_001, group="vip")
    answer = await relay.http.post("/v1/chat/completions", json=relay.chat(), headers=headers)
    assert answer.status_code == 200
    record = await relay.billing.record()
    assert record.terms == PriceTerms(MODEL, 0, 850_001, {"sale": 500_000, "vip": 900_000})
    assert record.rate_micro == 382_500  # 0.850001 x 0.5 x 0.9 = 0.38250045, rounded once
    assert adds_up(record)
    assert record.cost_nano <= record.reserved_nano


async def test_a_dated_name_is_served_at_the_price_of_its_stem(relay: Any) -> None:
    dated = f"{MODEL}-20240718"
    await relay.add_channel("dated", models=[dated], model_map={dated: MODEL})
    await lay_out(relay, Price(MODEL, OLD, 7))
    assert (await relay.post(relay.chat(dated))).status_code == 200
    record = await relay.billing.record()
    assert (record.model, record.unit_pico) == (dated, OLD)
    assert record.terms == PriceTerms(MODEL, 0, 1_000_000, {})
    listed = (await relay.http.get("/v1/models", headers=relay.headers())).json()["data"]
    assert dated in {model["id"] for model in listed}


async def test_a_book_that_cannot_be_used_leaves_the_one_before_in_force(relay: Any) -> None:
    await lay_out(relay, Price(MODEL, OLD, 7))
    bucket = await relay.bus.jetstream.key_value(PRICES_BUCKET)
    unknown = Multiplier("m", 1, zone="Mars/Olympus", from_minute=1)
    broken = PriceBook(time.time_ns(), (Price(MODEL, NEW, 9),), (), (unknown,))
    await bucket.put(PRICES_KEY, msgspec.msgpack.encode(broken))
    await bucket.put(PRICES_KEY, b"no book")
    await asyncio.sleep(0.1)  # reason: what must not happen tells nobody
    assert (await relay.post(relay.chat())).status_code == 200
    assert (await relay.billing.record()).price_version == 7
    await lay_out(relay, Price(MODEL, NEW, 10))
    assert (await relay.post(relay.chat())).status_code == 200
    await relay.billing.until(lambda: len(relay.billing.records) == 2)
    assert relay.billing.records[-1].price_version == 10
