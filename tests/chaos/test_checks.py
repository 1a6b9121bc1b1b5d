"""The checks can fail: each fault of the books that they exist for is shown to them once."""

from decimal import Decimal
from typing import Any

import msgspec

from chaos.checks import (
    PUBLISH_S,
    Evidence,
    Expiry,
    Served,
    Wallet,
    answer_findings,
    book_findings,
    unbilled,
)
from chaos.faults import Outage
from chaos.workload import Attempt
from e2e.suite import Person

ACCOUNT = "0198c0de-0000-7000-8000-000000000001"
PERSON = Person("a@example.com", ACCOUNT, "user", "sk-test", "key")
ATTEMPT = Attempt(
    id="request-1",
    account=ACCOUNT,
    kind="stream",
    model="gpt-4o-mini",
    began_s=100.0,
    ended_s=101.0,
    ending="complete",
    status=200,
    chunks=20,
    prompt_tokens=10,
    completion_tokens=20,
)
SERVED = Served(1, 10, 20, "complete")
RECORD: dict[str, Any] = {
    "id": "usage-1",
    "request_id": "request-1",
    "account": ACCOUNT,
    "quantities": {"input": 10, "output": 20},
    "estimated": False,
    "cost": "0.0000135",
    "charged": "0.0000135",
    "uncollected": "0",
}
WALLET = Wallet(PERSON, Decimal(1), Decimal("0.9999865"), Decimal(0), poor=False)
GOOD = Evidence([ATTEMPT], {"request-1": SERVED}, [RECORD], [], [WALLET])
RELAY_KILL = Outage("chat-relay", 100.5, 102.0, 1)


def changed(**fields: object) -> Evidence:
    return msgspec.structs.replace(GOOD, **fields)


def record(**fields: object) -> dict[str, Any]:
    return RECORD | fields


def test_good_books_have_no_findings() -> None:
    assert answer_findings(GOOD) == []
    assert book_findings(GOOD) == []


def test_a_request_charged_twice_is_found() -> None:
    found = book_findings(changed(records=[RECORD, record(id="usage-2")]))
    assert any("2 usage records have the request_id request-1" in finding for finding in found)


def test_a_charge_that_nobody_asked_for_is_found() -> None:
    found = book_findings(changed(records=[RECORD, record(id="usage-2", request_id="request-2")]))
    assert any("which nobody asked" in finding for finding in found)


def test_one_token_more_than_served_is_found() -> None:
    found = book_findings(changed(records=[record(quantities={"input": 10, "output": 21})]))
    assert "request-1 is billed (10, 21), served (10, 20)" in found


def test_an_estimate_beyond_the_documented_one_is_found() -> None:
    estimated = record(estimated=True, quantities={"input": 13, "output": 49})
    assert any("is estimated at" in finding for finding in book_findings(changed(records=[estimated])))


def test_an_estimate_below_what_arrived_is_found() -> None:
    estimated = record(estimated=True, quantities={"input": 13, "output": 19})
    assert any("is estimated at" in finding for finding in book_findings(changed(records=[estimated])))


def test_a_wrong_price_is_found() -> None:
    assert any("its tokens" in finding for finding in book_findings(changed(records=[record(cost="1")])))


def test_usage_that_got_lost_while_the_relay_lived_is_found() -> None:
    lost = changed(records=[], wallets=[])
    for victim in ("billing", "postgres", "nats", "gateway"):
        outage = Outage(victim, 100.5, 102.0, 1)
        found = book_findings(msgspec.structs.replace(lost, outages=[outage]))
        assert any("never billed" in finding for finding in found)


def test_usage_under_way_in_a_killed_relay_may_be_lost_and_is_counted() -> None:
    lost = changed(records=[], wallets=[], outages=[RELAY_KILL])
    assert book_findings(lost) == []
    assert unbilled(lost) == [ATTEMPT]


def test_usage_of_before_the_kill_may_not_be_lost_unless_nats_was_away() -> None:
    ended_s = RELAY_KILL.killed_s - PUBLISH_S - 0.1
    early = msgspec.structs.replace(ATTEMPT, began_s=ended_s - 1, ended_s=ended_s)
    lost = changed(attempts=[early], records=[], wallets=[], outages=[RELAY_KILL])
    assert any("never billed" in finding for finding in book_findings(lost))
    away = Outage("nats", ended_s - 0.2, 103.0, 1)
    assert book_findings(msgspec.structs.replace(lost, outages=[away, RELAY_KILL])) == []


def test_a_nano_that_is_missing_is_found() -> None:
    wallet = msgspec.structs.replace(WALLET, balance=WALLET.balance - Decimal("0.000000001"))
    assert any("had 1" in finding for finding in book_findings(changed(wallets=[wallet])))


def test_money_still_held_is_found() -> None:
    held = Decimal("0.1")
    wallet = msgspec.structs.replace(WALLET, balance=WALLET.balance - held, held=held)
    assert book_findings(changed(wallets=[wallet])) == [f"wallet {ACCOUNT} still has 0.1 held"]


def test_a_negative_wallet_is_found() -> None:
    wallet = msgspec.structs.replace(WALLET, topped_up=Decimal(0), balance=Decimal("-0.0000135"))
    assert any("is negative" in finding for finding in book_findings(changed(wallets=[wallet])))


def test_a_lease_that_came_back_late_is_found_unless_billing_was_away() -> None:
    late = changed(expiries=[Expiry("lease-1", 100.0, 103.0)])
    assert book_findings(late) == ["lease lease-1 came back 3.0 s late"]
    away = Outage("postgres", 96.0, 97.5, 1)
    assert book_findings(msgspec.structs.replace(late, outages=[away])) == []


def test_half_an_answer_taken_for_a_whole_one_is_found() -> None:
    short = msgspec.structs.replace(ATTEMPT, chunks=19)
    assert any(
        "19 of 20 chunks, and [DONE]" in finding for finding in answer_findings(changed(attempts=[short]))
    )


def test_a_wait_without_answer_is_found() -> None:
    slow = msgspec.structs.replace(ATTEMPT, waited_s=9.0)
    assert any("waited 9.0 s" in finding for finding in answer_findings(changed(attempts=[slow])))


def test_a_wrong_refusal_is_found() -> None:
    refused = msgspec.structs.replace(ATTEMPT, ending="refused", status=401, code="invalid_api_key")
    assert any("refused with 401" in finding for finding in answer_findings(changed(attempts=[refused])))
