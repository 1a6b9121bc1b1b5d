"""Usage off the stream: every record is charged exactly once, paid by rule, and told in order."""

from typing import Any

import msgspec

from common.contracts.usage import UsageBatch
from common.kit.ids import uuid7

USD = 1_000_000_000
COST = 210_000  # of conftest's record: 1000 input and 100 output tokens
WAIT_S = 20.0


async def leased(billing: Any, amount: str, need_nano: int) -> tuple[str, str, str]:
    account, spender, lease = await billing.funded(amount), uuid7(), uuid7()
    grant = await billing.request(lease=lease, account=account, spender=spender, needs_nano=(need_nano,))
    assert grant.granted_nano == need_nano
    return account, spender, lease


async def test_a_record_is_charged_once_however_often_it_arrives(billing: Any) -> None:
    account, spender, lease = await leased(billing, "1", USD // 2)
    records = [billing.record(account, spender, lease) for _ in range(20)]
    for _ in range(3):
        await billing.publish(*records)
        await billing.publish(*records[5:10], records[5])
    await billing.publish(last := billing.record(account, spender, lease))
    await billing.until_charged(21)
    assert await billing.balance(account) == (USD // 2, USD // 2 - 21 * COST)
    events = await billing.events("usage", 21)
    assert [event["sequence"] for event in events] == list(range(1, 22))
    assert events[-1]["id"] == last.id
    assert (events[-1]["cost"], events[-1]["charged"]) == ("0.00021", "0.00021")
    assert events[-1]["held"] == "0.49559"
    report = await billing.audit()
    assert report["ok"], report


async def test_what_the_lease_is_short_of_comes_from_the_wallet_and_then_from_nobody(billing: Any) -> None:
    account, spender, lease = await leased(billing, "0.0005", 100_000)
    await billing.publish(*(billing.record(account, spender, lease) for _ in range(3)))
    await billing.until_charged(3)
    parts = "from_held_nano, overage_nano, uncollected_nano"
    rows = await billing.rows(f"SELECT {parts} FROM usage_records ORDER BY sequence")  # noqa: S608
    assert [tuple(row) for row in rows] == [(100_000, 110_000, 0), (0, 210_000, 0), (0, 80_000, 130_000)]
    assert await billing.balance(account) == (0, 0)
    report = await billing.audit()
    assert report["ok"], report


async def test_late_and_unknown_leases_are_charged_to_the_wallet(billing: Any) -> None:
    account, spender, lease = await leased(billing, "1", USD // 2)
    billing.clock.advance(61)

    async def expired() -> bool:
        return bool(await billing.balance(account) == (USD, 0))

    await billing.until(expired)
    stranger = uuid7()
    await billing.publish(
        billing.record(account, spender, lease),
        billing.record(account, spender, uuid7()),
        billing.record(account, spender, ""),
        billing.record(stranger, uuid7(), uuid7()),
    )
    await billing.until_charged(4)
    assert await billing.balance(account) == (USD - 3 * COST, 0)
    of_stranger = "SELECT uncollected_nano FROM usage_records WHERE account = CAST(:a AS uuid)"
    rows = await billing.rows(of_stranger, a=stranger)
    assert [row[0] for row in rows] == [COST]
    report = await billing.audit()
    assert report["ok"], report


async def test_a_false_record_is_buried_alone(billing: Any) -> None:
    account, spender, lease = await leased(billing, "1", USD // 2)
    false = billing.record(account, spender, lease, cost_nano=COST + 1)
    odd = billing.record(account, spender, lease, model="gpt\0", request_id="r\0-12345678")
    await billing.publish(billing.record(account, spender, lease), false, odd)
    await billing.until_charged(2)
    assert await billing.balance(account) == (USD // 2, USD // 2 - 2 * COST)
    subscription = await billing.bus.jetstream.subscribe("dlq.INTAKE.billing-usage", ordered_consumer=True)
    letter = await subscription.next_msg(timeout=WAIT_S)
    assert msgspec.msgpack.decode(letter.data, type=UsageBatch).records[0].id == false.id
    assert "its parts make" in letter.headers["tollway-error"]
    report = await billing.audit()
    assert report["ok"], report


async def test_a_record_that_only_the_database_refuses_does_not_hold_up_the_others(billing: Any) -> None:
    account, spender, lease = await leased(billing, "1", USD // 2)
    await billing.change("ALTER TABLE usage_records ADD CHECK (channel <> 'cursed')")
    cursed = billing.record(account, spender, lease, channel="cursed")
    good = [billing.record(account, spender, lease) for _ in range(2)]
    await billing.publish(good[0], cursed, good[1])
    await billing.until_charged(2)
    subscription = await billing.bus.jetstream.subscribe("dlq.INTAKE.billing-usage", ordered_consumer=True)
    letter = await subscription.next_msg(timeout=WAIT_S)
    assert msgspec.msgpack.decode(letter.data, type=UsageBatch).records[0].id == cursed.id
    report = await billing.audit()
    assert report["ok"], report


async def test_a_lease_waits_for_usage_that_was_published_in_its_time(billing: Any) -> None:
    account, spender, lease = await leased(billing, "1", USD // 2)
    record = billing.record(account, spender, lease)
    async with billing.database.transaction() as connection:
        # Charging waits for this lock, so the record is in the stream and not in the ledger.
        await connection.exec_driver_sql("LOCK TABLE usage_records IN ACCESS EXCLUSIVE MODE")
        await billing.publish(record)
        billing.clock.advance(61)
    await billing.until_charged(1)

    async def returned() -> bool:
        return bool(await billing.balance(account) == (USD - COST, 0))

    await billing.until(returned)
    rows = await billing.rows("SELECT from_held_nano FROM usage_records")
    assert rows[0][0] == COST


async def test_a_free_request_is_recorded_and_told(billing: Any) -> None:
    account, spender = uuid7(), uuid7()
    await billing.publish(billing.record(account, spender, cost_nano=0, unit_pico={}))
    event = (await billing.events("usage", 1))[0]
    assert (event["cost"], event["sequence"], event["uncollected"]) == ("0", 1, "0")
    assert await billing.rows("SELECT 1 FROM transfers") == []


async def test_charges_are_listed_newest_first_and_explained(billing: Any) -> None:
    account, spender, lease = await leased(billing, "1", USD // 2)
    records = []
    for _ in range(5):
        billing.clock.advance(0.001)
        records.append(billing.record(account, spender, lease, rate_micro=500_000, cost_nano=COST // 2))
    await billing.publish(*records)
    await billing.until_charged(5)
    own = billing.headers(account)
    first = (await billing.http.get("/api/billing/usage?limit=3", headers=own)).json()
    rest = (await billing.http.get(f"/api/billing/usage?before={first['next']}", headers=own)).json()
    listed = [item["id"] for item in first["data"] + rest["data"]]
    assert listed == [record.id for record in reversed(records)]
    assert rest["next"] is None
    one = (await billing.http.get(f"/api/billing/usage/{listed[0]}", headers=own)).json()
    assert one["cost"] == "0.000105"
    assert one["explanation"] == [
        "price of gpt-4o-mini, version 1",
        "1000 input x 0.15 USD per million = 0.00015 USD",
        "100 output x 0.6 USD per million = 0.00006 USD",
        "sum = 0.00021 USD",
        "x 0.5 (rate of group default) = 0.000105 USD",
        "rounded once to a billionth, half to even: 0.000105 USD",
        "from the lease: 0.000105 USD",
    ]
    other = billing.headers(uuid7())
    assert (await billing.http.get(f"/api/billing/usage/{listed[0]}", headers=other)).status_code == 404
    foreign = await billing.http.get(f"/api/billing/usage?account={account}", headers=other)
    assert foreign.status_code == 403
    admin = billing.headers(uuid7(), "admin")
    seen = await billing.http.get(f"/api/billing/usage?account={account}", headers=admin)
    assert len(seen.json()["data"]) == 5
