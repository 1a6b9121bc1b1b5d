"""Charges through HTTP with a real billing: made once, within the limit, told, and finished after a crash."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from oauth.domain.grants import Spending

USD = 1_000_000_000
CHARGES = "/oauth/v1/charges"


async def books(shop: Any, taken_nano: int, fee_nano: int) -> None:
    """What the person paid is what the app and the platform have."""
    assert await shop.ledger.owed(f"app_payable:{shop.app.client_id}") == taken_nano - fee_nano
    assert await shop.ledger.owed("fees") == fee_nano
    await shop.ledger.prove()


async def test_a_charge_moves_the_money_to_app_and_platform_and_is_told(shop: Any) -> None:
    told = await shop.charge("0.25", description="image pack", reference="order-77", metadata={"a": "b"})
    assert (told["object"], told["status"], told["currency"]) == ("charge", "succeeded", "USD")
    assert (told["amount"], told["amount_captured"], told["amount_refunded"]) == ("0.25", "0.25", "0")
    assert (told["fee"], told["grant_remaining"], told["metadata"]) == ("0.0125", "49.75", {"a": "b"})
    assert told["app"] == shop.app.client_id
    assert told["user"].startswith("sub_")
    assert shop.person.user not in str(told)
    assert await shop.ledger.balance(shop.person.account) == "99.75"
    events = [event for event in await shop.oauth.events(1) if event["type"] == "oauth.charge.succeeded.v1"]
    assert (events[0]["charge"], events[0]["sequence"], events[0]["fee"]) == (told["id"], 1, "0.0125")
    assert (await shop.get(f"/{told['id']}")).json() == told
    await books(shop, 250_000_000, 12_500_000)


async def test_the_fee_is_rounded_once_half_to_even_and_may_be_nothing_or_all(
    ledger: Any, oauth: Any
) -> None:
    for fee_micro, amount, fee in (
        (500_000, "0.000000001", "0"),
        (500_000, "0.000000003", "0.000000002"),
        (0, "1", "0"),
        (1_000_000, "1", "1"),
    ):
        shop = await ledger.shop(oauth).open(fee_micro=fee_micro)
        assert (await shop.charge(amount))["fee"] == fee
    await ledger.prove()


async def test_fifty_requests_with_one_key_on_two_replicas_make_one_charge(shop: Any) -> None:
    first, second = shop.oauth.http, await shop.oauth.start_replica()
    answers = await asyncio.gather(
        *(shop.ask("1", key="order-1", http=(first, second)[number % 2]) for number in range(50))
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert statuses[201] >= 1
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_progress"
            assert int(answer.headers["retry-after"]) >= 1
    assert await shop.ledger.balance(shop.person.account) == "99"
    await books(shop, USD, USD // 20)


async def test_of_two_hundred_charges_against_a_limit_for_ten_exactly_ten_are_made(
    ledger: Any, oauth: Any
) -> None:
    shop = await ledger.shop(oauth).open("1000", Spending(10 * USD, "day"))
    first, second = oauth.http, await oauth.start_replica()
    answers = await asyncio.gather(
        *(shop.ask("1", http=(first, second)[number % 2]) for number in range(200))
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {201: 10, 403: 190}
    refused = next(answer for answer in answers if answer.status_code == 403).json()
    assert (refused["code"], refused["limit"], refused["period"]) == ("charge_limit_exceeded", "10", "day")
    assert refused["resets_at"].startswith("2026-01-16T00:00:00")
    assert await ledger.balance(shop.person.account) == "990"
    remaining = {answer.json()["grant_remaining"] for answer in answers if answer.status_code == 201}
    assert remaining == {str(left) for left in range(10)}
    await books(shop, 10 * USD, USD // 2)


async def test_a_key_means_one_body_and_keeps_its_refusal(ledger: Any, oauth: Any) -> None:
    shop = await ledger.shop(oauth).open("0")
    refused = await shop.ask("1", key="k")
    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_balance")
    assert refused.json()["topup"] == "/oauth/v1/topup_orders"
    await ledger.fund(shop.person.account)
    assert (await shop.ask("1", key="k")).status_code == 402
    assert (await shop.ask("1", key="l")).status_code == 201
    other = await shop.ask("2", key="l")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    again = await ledger.shop(oauth).open("1")
    assert (await again.ask("1", key="l")).status_code == 201, "keys of two apps never meet"


async def test_a_charge_above_the_limit_tells_nothing_of_the_balance(ledger: Any, oauth: Any) -> None:
    spending = Spending(10 * USD, "month")
    for balance in ("5", "100"):
        shop = await ledger.shop(oauth).open(balance, spending)
        for amount in ("50", "500"):
            refused = await shop.ask(amount)
            assert (refused.status_code, refused.json()["code"]) == (403, "charge_limit_exceeded")


async def test_more_than_the_person_allows_at_once_is_refused(ledger: Any, oauth: Any) -> None:
    shop = await ledger.shop(oauth).open("100", Spending(50 * USD, "month", max_charge_nano=USD // 2))
    refused = await shop.ask("0.500000001")
    assert (refused.status_code, refused.json()["code"]) == (403, "charge_too_large")
    assert refused.json()["max_per_charge"] == "0.5"
    assert (await shop.ask("0.5")).status_code == 201


async def test_what_cannot_be_charged_is_refused_at_its_field(oauth: Any, bare_shop: Any) -> None:
    shop = await bare_shop.open("0")
    for body, param in (
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0.0000000001"}, "amount"),
        ({"amount": "1000001"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "\u0663"}, "amount"),
        ({"amount": 1}, "amount"),
        ({"amount": "1", "currency": "EUR"}, "currency"),
        ({"amount": "1", "description": "x" * 501}, "description"),
        ({"amount": "1", "reference": "\0"}, "reference"),
        ({"amount": "1", "metadata": {str(number): "" for number in range(21)}}, "metadata"),
        ({"amount": "1", "metadata": {"x" * 41: ""}}, "metadata"),
        ({"amount": "1", "user": "x"}, None),
        ({}, None),
    ):
        answer = await oauth.http.post(CHARGES, json=body, headers=shop.headers | {"idempotency-key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
        if param is not None:
            assert answer.json()["param"] == param, body
    for key in (None, "x" * 256):
        refused = await shop.ask("1", key=key)
        assert (refused.status_code, refused.json()["param"]) == (400, "Idempotency-Key")
    assert await oauth.rows("SELECT 1 FROM charges") == []


async def test_only_a_live_token_with_the_scope_charges(shop: Any) -> None:
    oauth = shop.oauth
    told = await oauth.tokens(shop.app, shop.secret, "relay", person=shop.person)
    headers = {"authorization": f"Bearer {told['access_token']}", "idempotency-key": "k"}
    answer = await oauth.http.post(CHARGES, json={"amount": "1"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    nobody = await oauth.http.post(CHARGES, json={"amount": "1"}, headers={"idempotency-key": "k"})
    assert nobody.status_code == 401
    assert "error=" not in nobody.headers["www-authenticate"]
    await oauth.rows("UPDATE grants SET revoked_at = now(), revoked_by = 'user'")
    revoked = await shop.ask("1")
    assert (revoked.status_code, revoked.json()["code"]) == (401, "invalid_token")


async def test_another_app_and_another_person_see_nothing(shop: Any) -> None:
    charge = await shop.charge()
    other_app = await shop.ledger.shop(shop.oauth).open("1")
    other_person = shop.ledger.shop(shop.oauth)
    other_person.app = shop.app
    told = await shop.oauth.tokens(shop.app, shop.secret, "charge", person=other_person.person)
    other_person.token = told["access_token"]
    for other in (other_app, other_person):
        assert (await other.get(f"/{charge['id']}")).status_code == 404
        assert (await other.act(f"{charge['id']}/refunds", key="k")).status_code == 404
        assert (await other.act(f"{charge['id']}/capture")).status_code == 404
        assert (await other.get()).json() == {"data": [], "next": None}
    assert (await shop.get("/no-uuid")).status_code == 404


async def test_the_list_is_newest_first_in_pages_and_by_status(shop: Any) -> None:
    made = [(await shop.charge("0.01"))["id"] for _ in range(3)]
    held = (await shop.charge("0.01", capture=False))["id"]
    page = (await shop.get("", limit=2)).json()
    assert [charge["id"] for charge in page["data"]] == [held, made[2]]
    rest = (await shop.get("", after=page["next"])).json()
    assert [charge["id"] for charge in rest["data"]] == [made[1], made[0]]
    assert rest["next"] is None
    only = (await shop.get("", status="requires_capture")).json()
    assert [charge["id"] for charge in only["data"]] == [held]
    assert (await shop.get("", status="nonsense")).status_code == 400
    assert (await shop.get("", after="x")).status_code == 400


async def test_what_is_held_is_captured_in_part_and_the_rest_goes_back(shop: Any) -> None:
    held = await shop.charge("10", capture=False)
    assert (held["status"], held["amount_captured"], held["fee"]) == ("requires_capture", "0", "0")
    assert held["expires_at"] is not None
    assert await shop.ledger.balance(shop.person.account) == "90"
    too_much = await shop.act(f"{held['id']}/capture", {"amount": "10.1"})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "exceeds_capture")
    taken = (await shop.act(f"{held['id']}/capture", {"amount": "4"})).json()
    assert (taken["status"], taken["amount_captured"], taken["fee"]) == ("succeeded", "4", "0.2")
    assert (await shop.act(f"{held['id']}/capture", {"amount": "4"})).json() == taken
    for path in (f"{held['id']}/capture", f"{held['id']}/cancel"):
        again = await shop.act(path)
        assert (again.status_code, again.json()["code"]) == (409, "invalid_state")
    assert await shop.ledger.balance(shop.person.account) == "96"
    await books(shop, 4 * USD, USD // 5)


async def test_what_is_canceled_goes_back_and_cannot_be_captured(shop: Any) -> None:
    held = await shop.charge("10", capture=False)
    canceled = (await shop.act(f"{held['id']}/cancel")).json()
    assert canceled["status"] == "canceled"
    assert (await shop.act(f"{held['id']}/cancel")).json() == canceled
    assert (await shop.act(f"{held['id']}/capture")).json()["code"] == "invalid_state"
    assert (await shop.act(f"{held['id']}/refunds", key="k")).json()["code"] == "invalid_state"
    assert await shop.ledger.balance(shop.person.account) == "100"
    assert [event["type"] for event in await shop.oauth.events(1)] == ["oauth.charge.canceled.v1"]


async def test_capture_and_cancel_at_once_resolve_a_charge_once(shop: Any) -> None:
    await shop.oauth.start_replica()
    held = await shop.charge("10", capture=False)
    paths = [f"{held['id']}/capture", f"{held['id']}/cancel"] * 10
    answers = await asyncio.gather(*(shop.act(path) for path in paths))
    states = {answer.json()["status"] for answer in answers if answer.status_code == 200}
    assert len(states) == 1
    final = (await shop.get(f"/{held['id']}")).json()
    assert {final["status"]} == states
    balance = "90" if final["status"] == "succeeded" else "100"
    assert await shop.ledger.balance(shop.person.account) == balance
    await shop.ledger.prove()


async def test_what_is_not_captured_in_time_expires(shop: Any) -> None:
    held = await shop.charge("10", capture=False)
    await shop.ledger.rows("UPDATE holds SET expires_at = now()")
    late = await shop.act(f"{held['id']}/capture")
    assert (late.status_code, late.json()["code"]) == (409, "invalid_state")
    assert (await shop.get(f"/{held['id']}")).json()["status"] == "expired"
    assert [event["type"] for event in await shop.oauth.events(1)] == ["oauth.charge.expired.v1"]
    assert await shop.ledger.balance(shop.person.account) == "100"


async def test_the_sweep_finds_what_expired_and_what_is_held_under_a_grant_that_ended(shop: Any) -> None:
    expired = await shop.charge("10", capture=False)
    await shop.ledger.rows("UPDATE holds SET expires_at = now()")
    past = shop.oauth.clock.now() - timedelta(seconds=1)
    await shop.oauth.rows(
        "WITH c AS (UPDATE charges SET due_at = $1) UPDATE charges_due SET due_at = $1", past
    )
    await swept(shop, expired["id"], "expired")
    held = await shop.charge("10", capture=False)
    await shop.oauth.rows("UPDATE grants SET revoked_at = now(), revoked_by = 'user'")
    await swept(shop, held["id"], "canceled")
    assert await shop.ledger.balance(shop.person.account) == "100"
    await shop.ledger.prove()


async def swept(shop: Any, charge: str, state: str) -> None:
    """The charge gets there by itself."""
    async with asyncio.timeout(15):
        while True:
            rows = await shop.oauth.rows("SELECT state FROM charges WHERE id = $1", charge)
            if rows[0][0] == state:
                return
            await asyncio.sleep(0.1)  # reason: the interval of a poll


async def test_who_must_be_looked_at_is_known_for_each_charge_and_for_no_other(shop: Any) -> None:
    await shop.charge("1")
    await shop.charge("1", capture=False)
    captured = await shop.charge("1", capture=False)
    await shop.act(f"{captured['id']}/capture")
    canceled = await shop.charge("1", capture=False)
    await shop.act(f"{canceled['id']}/cancel")
    await shop.ask("1000")
    both = await shop.oauth.rows(
        "SELECT c.due_at, c.id, d.due_at, d.charge, d.held_by = c.grant_id"
        " FROM (SELECT * FROM charges WHERE due_at IS NOT NULL) AS c"
        " FULL JOIN charges_due AS d ON d.charge = c.id"
    )
    assert len(both) == 1
    assert (both[0][:2], both[0][4]) == (both[0][2:4], True)


async def test_what_is_out_of_date_is_looked_at_once_and_changes_nothing(shop: Any) -> None:
    made = await shop.charge("1")
    past = shop.oauth.clock.now() - timedelta(days=1)
    await shop.oauth.rows(
        "INSERT INTO charges_due (due_at, charge) SELECT $1, id FROM charges, generate_series(1, 150)", past
    )
    async with asyncio.timeout(15):
        while True:
            if not await shop.oauth.rows("SELECT FROM charges_due"):
                break
            await asyncio.sleep(0.1)  # reason: the interval of a poll
    assert (await shop.get(f"/{made['id']}")).json() == made
