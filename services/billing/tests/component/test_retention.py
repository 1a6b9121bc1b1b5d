"""What nobody can ask for any more goes after a while; what is open, owed or provable stays."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from billing.adapters.postgres.holds import PostgresHolds
from billing.seals.adapters.postgres.closes import PostgresCloses
from billing.seals.adapters.postgres.partitions import PostgresPartitions
from billing.seals.usecases.partitions import Partitions
from common.contracts.errors import ServiceError
from common.contracts.holds import (
    HOLD_CAPTURE,
    HOLD_CHARGE,
    HOLD_EXTEND,
    HOLD_OPEN,
    HOLD_REFUND,
    HOLD_VOID,
    HoldCapture,
    HoldCharge,
    HoldCredit,
    HoldExtend,
    HoldOpen,
    HoldRefund,
    HoldVoid,
)
from common.kit.ids import named_id, uuid7

USD = 1_000_000_000
DAY_S = 86_400
DAYS = 90


async def forget(billing: Any) -> None:
    """What billing does once a day."""
    await PostgresHolds(billing.database).prune(billing.clock.now() - timedelta(days=DAYS))


async def called(billing: Any, method: Any, request: Any) -> Any:
    return await billing.rpc.call(method, request, 10)


async def refused(billing: Any, method: Any, request: Any) -> str:
    with pytest.raises(ServiceError) as error:
        await called(billing, method, request)
    return error.value.error_code


async def known(billing: Any) -> set[str]:
    return {str(row[0]) for row in await billing.rows("SELECT id FROM operations")}


async def opened(billing: Any, account: str, ttl_s: int = 60) -> HoldOpen:
    request = HoldOpen(uuid7(), account, uuid7(), USD // 10, ttl_s)
    await called(billing, HOLD_OPEN, request)
    return request


async def test_calls_about_holds_are_answered_again_for_their_days_and_then_forgotten(billing: Any) -> None:
    account = await billing.funded()
    hold = await opened(billing, account)
    capture, refund = HoldCapture(hold.hold, uuid7()), HoldRefund(hold.hold, uuid7(), USD // 100)
    first = [await called(billing, HOLD_CAPTURE, capture), await called(billing, HOLD_REFUND, refund)]
    billing.clock.advance(DAYS * DAY_S - 1)
    await forget(billing)
    again = [await called(billing, HOLD_CAPTURE, capture), await called(billing, HOLD_REFUND, refund)]
    assert again == first
    billing.clock.advance(2)
    await forget(billing)
    left = await known(billing)
    assert not {capture.id, refund.id} & left
    # Its opening is known while it is: repeated, it can never meet the hold that is there.
    assert hold.hold in left
    assert (await called(billing, HOLD_OPEN, hold)).hold == hold.hold
    assert await refused(billing, HOLD_CAPTURE, capture) == "hold_already_captured"
    rest = HoldRefund(hold.hold, uuid7(), None)
    assert (await called(billing, HOLD_REFUND, rest)).refunded_nano == USD // 10
    assert await billing.balance(account) == (10 * USD, 0)
    audit = await billing.audit()
    assert audit["ok"], audit


async def test_holds_that_took_nothing_go_and_open_ones_never(billing: Any) -> None:
    account = await billing.funded()
    voided, left_alone, live = [await opened(billing, account) for _ in range(3)]
    await called(billing, HOLD_VOID, HoldVoid(voided.hold, uuid7()))
    poor = HoldOpen(uuid7(), account, uuid7(), 100 * USD, 60)
    assert await refused(billing, HOLD_OPEN, poor) == "insufficient_quota"
    for _ in range(4):
        await called(billing, HOLD_EXTEND, HoldExtend(live.hold, uuid7(), 0, 31 * DAY_S))
        billing.clock.advance(30 * DAY_S)

    async def expired() -> bool:
        rows = await billing.rows("SELECT count(*) FROM holds WHERE state = 'expired'")
        return bool(rows[0][0] == 1)

    await billing.until(expired)
    # Resolved by the ledger's clock when it was due and looked at, which is not ninety days ago.
    await forget(billing)
    assert {str(row[0]) for row in await billing.rows("SELECT id FROM holds")} == {left_alone.hold, live.hold}
    await called(billing, HOLD_EXTEND, HoldExtend(live.hold, uuid7(), 0, 31 * DAY_S))
    billing.clock.advance(30 * DAY_S)
    await called(billing, HOLD_EXTEND, HoldExtend(live.hold, uuid7(), 0, 31 * DAY_S))
    billing.clock.advance(30 * DAY_S)
    await called(billing, HOLD_EXTEND, HoldExtend(live.hold, uuid7(), 0, 31 * DAY_S))
    billing.clock.advance(30 * DAY_S + 10)
    await forget(billing)
    assert {str(row[0]) for row in await billing.rows("SELECT id FROM holds")} == {live.hold}
    audit = await billing.audit()
    assert audit["ok"], audit
    assert "forgotten=2" in audit["holds"]["detail"]
    assert not {voided.hold, left_alone.hold, poor.hold} & await known(billing)
    assert await billing.balance(account) == (10 * USD - USD // 10, USD // 10)
    # The ids are free again; whoever meant the old hold has waited for three months.
    assert (await called(billing, HOLD_OPEN, voided)).state == "open"


async def test_what_brought_money_is_remembered_for_ever(billing: Any) -> None:
    account = uuid7()
    await billing.topup(account, "5", "key-1")
    billing.clock.advance(400 * DAY_S)
    await forget(billing)
    again = await billing.topup(account, "5", "key-1")
    assert again.status_code == 201
    assert await billing.balance(account) == (5 * USD, 0)


async def test_captured_holds_are_kept_as_long_as_their_transfers(billing: Any) -> None:
    account = str(await billing.funded("5"))
    opening = HoldOpen(uuid7(), account, uuid7(), USD, 60, app="shop", paid_only=True)
    shares = (HoldCredit("app_payable:shop", USD),)
    await called(billing, HOLD_CHARGE, HoldCharge(opening, uuid7(), shares))
    headers = billing.headers("admin", "admin")
    billing.clock.advance(17 * DAY_S)  # the 1st of February
    await called(billing, HOLD_REFUND, HoldRefund(opening.hold, uuid7(), USD // 2))
    billing.clock.advance(200 * DAY_S)
    await forget(billing)
    assert await billing.rows("SELECT id FROM holds")
    answer = await billing.http.post("/api/billing/closes", json={"month": "2026-01"}, headers=headers)
    assert answer.status_code == 201, answer.text
    partitions = Partitions(
        PostgresPartitions(billing.database), PostgresCloses(billing.database), billing.clock.now, 3, 2
    )
    assert "transfers_2026_01" in [gone.name for gone in await partitions.keep()]
    await asyncio.gather(*(forget(billing) for _ in range(3)))
    assert not await billing.rows("SELECT id FROM holds")
    audit = await billing.audit()
    assert audit["ok"], audit
    rest = HoldRefund(opening.hold, uuid7(), None)
    assert await refused(billing, HOLD_REFUND, rest) == "hold_not_found"


async def test_a_hold_whose_money_is_not_back_may_not_be_missing(billing: Any) -> None:
    account = await billing.funded()
    hold = await opened(billing, account)
    await called(billing, HOLD_CAPTURE, HoldCapture(hold.hold, uuid7()))
    await billing.change("DELETE FROM holds")
    report = await billing.audit()
    assert not report["holds"]["ok"]
    assert hold.hold in report["holds"]["detail"]


async def test_however_many_there_are_they_go_in_slices(billing: Any) -> None:
    old = billing.clock.now() - timedelta(days=DAYS + 1)
    async with billing.database.transaction() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO operations (id, fingerprint, result, temporary, created_at)"
            " SELECT gen_random_uuid(), '\\x00', '\\x00', true, $1 FROM generate_series(1, 12000)",
            (old,),
        )
    await billing.topup(named_id("account"), "1")
    await asyncio.gather(forget(billing), forget(billing))
    assert len(await known(billing)) == 1
