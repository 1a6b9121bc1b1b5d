"""What arrives on INTAKE in a shape we do not know is kept as it came, and nothing beside it is lost."""

from typing import Any

import msgspec

from common.contracts.usage import UsageBatch
from common.kit.ids import uuid7

Billing = Any
DEAD = "dlq.INTAKE.billing-usage"


def unknown_shapes(record: Any) -> dict[str, bytes]:
    """Payloads by what is wrong with them."""
    fields = msgspec.to_builtins(record)
    names = list(record.__struct_fields__)
    strange = list(fields)
    strange[names.index("outcome")] = "abducted"
    typed = list(fields)
    typed[names.index("cost_nano")] = "0.1"
    pack = msgspec.msgpack.encode
    return {
        "nothing": b"",
        "noise": b"\xc1\xff\x00",
        "JSON": msgspec.json.encode(UsageBatch("relay-1", (record,))),
        "a map": pack({"version": 2, "records": [fields]}),
        "another event": pack(["usage.recorded.v2", uuid7()]),
        "too few fields": pack(["relay-1", [fields[:5]]]),
        "an unknown outcome": pack(["relay-1", [strange]]),
        "an amount as text": pack(["relay-1", [typed]]),
        "cut off": pack(UsageBatch("relay-1", (record,)))[:-3],
    }


async def test_unknown_shapes_become_dead_letters_byte_for_byte(billing: Billing) -> None:
    account = await billing.funded()
    lost = billing.record(account, uuid7())
    shapes = unknown_shapes(lost)
    for payload in shapes.values():
        await billing.publish(billing.record(account, uuid7()))
        await billing.bus.publish("intake.usage.relay-9", payload, {"Nats-Msg-Id": uuid7()})
    await billing.until_charged(len(shapes))
    letters = await billing.bus.jetstream.subscribe(DEAD, ordered_consumer=True)
    found = [await letters.next_msg(timeout=20) for _ in shapes]
    assert {letter.data for letter in found} == set(shapes.values())
    for letter in found:
        headers = letter.headers or {}
        assert headers["tollway-subject"] == "intake.usage.relay-9"
        assert headers["tollway-error"]
    assert (await billing.bus.jetstream.stream_info("DLQ")).state.messages == len(shapes)
    rows = await billing.rows("SELECT count(*) FROM usage_records WHERE id = CAST(:id AS uuid)", id=lost.id)
    assert rows[0][0] == 0
    assert (await billing.audit())["ok"]


async def test_a_dead_letter_that_was_mended_is_charged_when_it_is_sent_again(billing: Billing) -> None:
    account = await billing.funded()
    record = billing.record(account, uuid7())
    payload = unknown_shapes(record)["an unknown outcome"]
    await billing.bus.publish("intake.usage.relay-9", payload, {"Nats-Msg-Id": uuid7()})
    letters = await billing.bus.jetstream.subscribe(DEAD, ordered_consumer=True)
    letter = await letters.next_msg(timeout=20)
    mended = letter.data.replace(msgspec.msgpack.encode("abducted"), msgspec.msgpack.encode("ok"))
    await billing.bus.publish("intake.usage.relay-9", mended, {"Nats-Msg-Id": uuid7()})
    await billing.until_charged(1)
    assert (await billing.rows("SELECT id::text, outcome FROM usage_records"))[0] == (record.id, "ok")


async def test_fields_of_a_later_version_are_passed_over(billing: Billing) -> None:
    account = await billing.funded()
    record = billing.record(account, uuid7())
    every = [
        getattr(record, name)
        if not isinstance(getattr(record, name), msgspec.Struct)
        else msgspec.to_builtins(getattr(record, name))
        for name in record.__struct_fields__
    ]
    later = msgspec.msgpack.encode(["relay-9", [[*every, {"new": 1}, "newer"]], "newest"])
    await billing.bus.publish("intake.usage.relay-9", later, {"Nats-Msg-Id": uuid7()})
    await billing.until_charged(1)
