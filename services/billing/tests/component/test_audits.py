"""The audit finds what somebody changed behind the ledger's back, each kind by its own check."""

from typing import Any

import pytest

from common.contracts.holds import (
    HOLD_CAPTURE,
    HOLD_CHARGE,
    HOLD_OPEN,
    HOLD_REFUND,
    HoldCapture,
    HoldCharge,
    HoldCredit,
    HoldOpen,
    HoldRefund,
)
from common.contracts.payables import PAYOUT_POST, PayoutPost
from common.kit.ids import uuid7

USD = 1_000_000_000
EDITS = {
    "conservation": ["UPDATE accounts SET credits = credits + 1 WHERE name = 'revenue'"],
    "counters": [
        "UPDATE accounts SET credits = credits + 1, debits = debits + 1 WHERE name = 'promo'",
    ],
    "held": ["UPDATE leases SET granted_nano = granted_nano + 1 WHERE state = 'open'"],
    "charges": [
        'UPDATE usage_records SET quantities = \'{"input": 999, "output": 100}\' WHERE sequence = 1',
    ],
    "balances": [
        "ALTER TABLE transfers DISABLE TRIGGER transfers_immutable",
        "UPDATE transfers SET debit_after = -1 WHERE kind = 'lease_grant'",
    ],
    "sequences": ["UPDATE usage_records SET sequence = 7 WHERE sequence = 2"],
    "delivery": ["DELETE FROM inbox WHERE id = (SELECT min(id::text)::uuid FROM inbox)"],
}
STRANGER = """
    INSERT INTO transfers (id, kind, debit_account, credit_account, amount, debit_after, credit_after,
        reference, posted_at)
    VALUES (gen_random_uuid(), 'gift', 999, 998, 5, 0, 0, gen_random_uuid(), now())
"""
UNPAID = """
    DELETE FROM transfers
    WHERE kind = 'usage' AND position = (SELECT min(position) FROM transfers WHERE kind = 'usage')
"""
TWICE = """
    INSERT INTO usage_records SELECT (r).* FROM (
        SELECT jsonb_populate_record(
            u, jsonb_build_object('started_at', u.started_at + interval '1 second')) AS r
        FROM usage_records AS u WHERE sequence = 1) AS t
"""
SHARE = """
    UPDATE holds SET credits = credits || '{"app_payable:shop": 50000000, "fees": 50000000}'
    WHERE credits ? 'app_payable:shop'
"""
GIVEN_BACK = """
    UPDATE holds SET refunds = refunds || '{"app_payable:shop": 20000000, "fees": 30000000}'
    WHERE credits ? 'app_payable:shop'
"""
MORE = {
    "counters": [STRANGER],
    "held": ["UPDATE spenders SET held_nano = held_nano + 1"],
    "charges": ["ALTER TABLE transfers DISABLE TRIGGER transfers_immutable", UNPAID],
    "holds": ["UPDATE holds SET captured_nano = captured_nano - 1, released_nano = released_nano + 1"],
    "refunds": [
        "ALTER TABLE charge_refunds DISABLE TRIGGER charge_refunds_immutable",
        "UPDATE charge_refunds SET amount_nano = amount_nano + 1",
    ],
    "sequences": ["UPDATE customers SET usage_sequence = usage_sequence + 1"],
    "delivery": ["INSERT INTO inbox (consumer, id) VALUES ('billing-usage', gen_random_uuid())"],
}


async def busy(billing: Any) -> list[str]:
    """A ledger with a little of everything; the request ids of what was charged."""
    account, spender, lease = await billing.funded("1"), uuid7(), uuid7()
    await billing.request(lease=lease, account=account, spender=spender, needs_nano=(USD // 2,))
    records = [billing.record(account, spender, lease) for _ in range(3)]
    await billing.publish(*records)
    await billing.until_charged(3)
    hold = HoldOpen(uuid7(), account, spender, USD // 10, 60)
    await billing.rpc.call(HOLD_OPEN, hold)
    await billing.rpc.call(HOLD_CAPTURE, HoldCapture(hold.hold, uuid7(), USD // 20))
    opening = HoldOpen(uuid7(), account, spender, USD // 10, 60, app="shop", paid_only=True)
    shares = (HoldCredit("app_payable:shop", USD * 9 // 100), HoldCredit("fees", USD // 100))
    await billing.rpc.call(HOLD_CHARGE, HoldCharge(opening, uuid7(), shares))
    await billing.rpc.call(HOLD_REFUND, HoldRefund(opening.hold, uuid7(), USD // 20))
    await billing.rpc.call(PAYOUT_POST, PayoutPost(uuid7(), "shop", account, USD // 100, "external"))
    refund = f"/api/billing/usage/{records[0].id}/refunds"
    answer = await billing.http.post(refund, json={"amount": "0.0001"}, headers=billing.headers("a", "admin"))
    assert answer.status_code == 201, answer.text
    await billing.change("UPDATE usage_records SET posted_at = now()")  # the test's clock is long ago
    return [record.request_id for record in records]


@pytest.mark.parametrize(
    ("check", "statements"),
    [
        *EDITS.items(),
        *MORE.items(),
        ("charges", [TWICE]),
        ("payables", [SHARE]),
        ("payables", [GIVEN_BACK]),
    ],
)
async def test_an_edited_row_is_found(billing: Any, check: str, statements: list[str]) -> None:
    await busy(billing)
    clean = await billing.audit()
    assert clean["ok"], clean
    assert EDITS.keys() | MORE.keys() < clean.keys()
    await billing.change(*statements)
    report = await billing.audit()
    assert not report["ok"]
    assert not report[check]["ok"], report
    assert "first=" in report[check]["detail"] or check == "delivery"


async def test_transfers_and_prices_refuse_to_be_changed(billing: Any) -> None:
    await busy(billing)
    for statement in ("UPDATE transfers SET amount = 1", "DELETE FROM transfers"):
        with pytest.raises(Exception, match=r"transfers.* is immutable"):
            await billing.change(statement)


async def test_nobody_is_billed_more_than_was_served(billing: Any) -> None:
    ids = await busy(billing)
    served = [{"request_id": id_, "prompt_tokens": 1000, "completion_tokens": 100} for id_ in ids]
    report = await billing.audit(served=served)
    assert report["served"]["ok"], report
    served[1]["completion_tokens"] = 99
    served.append({"request_id": "never-billed", "prompt_tokens": 1, "completion_tokens": 1})
    report = await billing.audit(served=served)
    assert not report["served"]["ok"]
    assert "4 requests served, 1 billed more than served, 1 not billed" in report["served"]["detail"]


async def test_the_audit_is_for_admins(billing: Any) -> None:
    response = await billing.http.post("/api/billing/audit", headers=billing.headers(uuid7()))
    assert response.status_code == 403
