"""Redemption codes: won by one, credited once, guessed by nobody."""

import asyncio
from typing import Any

import pytest

from billing.payments.domain.codes import ALPHABET, GUESSES, hash_of, new_code
from common.kit.ids import uuid7

USD = 1_000_000_000
PEPPER = "a-pepper-of-sixteen-and-more"


@pytest.fixture
async def shop(billing: Any) -> Any:
    """Billing that has codes, with two replicas."""
    await billing.start_replica(code_pepper=PEPPER)
    await billing.start_replica(code_pepper=PEPPER)
    return billing


async def _batch(shop: Any, count: int = 1, **fields: Any) -> dict[str, Any]:
    body = {"count": count, "amount": "5", "name": "spring"} | fields
    admin = shop.headers("admin", "admin")
    answer = await shop.http.post("/api/billing/codes", json=body, headers=admin)
    assert answer.status_code == 201, answer.text
    batch: dict[str, Any] = answer.json()
    return batch


async def _redeem(shop: Any, account: str, code: str, key: str | None = None) -> Any:
    headers = shop.headers(account) | ({"Idempotency-Key": key} if key else {})
    return await shop.http.post("/api/billing/redemptions", json={"code": code}, headers=headers)


async def test_a_code_is_credited_and_told(shop: Any) -> None:
    batch = await _batch(shop, 3)
    account = uuid7()
    answer = await _redeem(shop, account, f" {batch['codes'][0].lower().replace('-', ' ')} ")
    assert (answer.status_code, answer.json()["amount"], answer.json()["balance"]) == (201, "5", "5")
    posted, completed = await shop.events("billing", 2)
    assert (posted["kind"], posted["debit"]) == ("redemption", "promo")
    assert (completed["source"], completed["amount"]) == (f"code:{batch['id']}", "5")
    admin = shop.headers("admin", "admin")
    listed = (await shop.http.get(f"/api/billing/codes?batch={batch['id']}&limit=2", headers=admin)).json()
    assert [code["prefix"] for code in listed["data"]] == [code[:4] for code in batch["codes"][:2]]
    assert [code["account"] for code in listed["data"]] == [account, None]
    rest = await shop.http.get(
        f"/api/billing/codes?batch={batch['id']}&after={listed['next']}", headers=admin
    )
    assert ([code["prefix"] for code in rest.json()["data"]], rest.json()["next"]) == (
        [batch["codes"][2][:4]],
        None,
    )
    batches = (await shop.http.get("/api/billing/codes", headers=admin)).json()["data"]
    assert [(each["name"], each["count"], each["redeemed"]) for each in batches] == [("spring", 3, 1)]
    assert (await shop.audit())["ok"]


@pytest.mark.parametrize("accounts", [1, 100])
async def test_a_hundred_redemptions_of_one_code_are_exactly_one(shop: Any, accounts: int) -> None:
    code = (await _batch(shop))["codes"][0]
    callers = [uuid7() for _ in range(accounts)]
    other = shop.http

    async def redeem(number: int) -> int:
        shop.http = other if number % 2 else shop.http
        answer = await _redeem(shop, callers[number % accounts], code)
        if answer.status_code != 201:
            assert (answer.status_code, answer.json()["code"]) == (409, "code_used")
        status: int = answer.status_code
        return status

    statuses = await asyncio.gather(*(redeem(number) for number in range(100)))
    assert sorted(statuses) == [201] + [409] * 99
    balances = [(await shop.balance(caller))[0] for caller in callers]
    assert sum(balances) == 5 * USD
    rows = await shop.rows("SELECT count(*) FROM transfers WHERE kind = 'redemption'")
    assert rows[0][0] == 1


async def test_the_same_key_gets_the_first_answer_again(shop: Any) -> None:
    code = (await _batch(shop))["codes"][0]
    account = uuid7()
    answers = await asyncio.gather(*(_redeem(shop, account, code, "mine") for _ in range(20)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert await shop.balance(account) == (5 * USD, 0)
    assert (await _redeem(shop, uuid7(), code, "mine")).json()["code"] == "code_used"


async def test_a_code_won_before_a_crash_is_credited_by_the_sweeper(shop: Any) -> None:
    code = (await _batch(shop))["codes"][0]
    account = uuid7()
    await shop.change(
        f"UPDATE codes SET account = '{account}', redemption = '{uuid7()}',"  # noqa: S608
        " redeemed_at = '2026-01-15T12:00:00Z'"
    )
    shop.clock.advance(31)
    await asyncio.gather(*(app.state.codes.sweep() for app in shop.apps for _ in range(3)))
    assert await shop.balance(account) == (5 * USD, 0)
    assert (await _redeem(shop, account, code)).json()["code"] == "code_used"


async def test_a_code_ends_with_its_time_or_its_batch(shop: Any) -> None:
    batch = await _batch(shop, 2, expires_at="2026-01-15T13:00:00+00:00")
    revoked = await _batch(shop, 2)
    account = uuid7()
    assert (await _redeem(shop, account, batch["codes"][0])).status_code == 201
    assert (await _redeem(shop, account, revoked["codes"][0])).status_code == 201
    shop.clock.advance(3600)
    answer = await _redeem(shop, account, batch["codes"][1])
    assert (answer.status_code, answer.json()["code"]) == (410, "code_expired")
    admin = shop.headers("admin", "admin")
    gone = await shop.http.delete(f"/api/billing/codes/{revoked['id']}", headers=admin)
    assert (gone.status_code, gone.json()["redeemed"]) == (200, 1)
    assert gone.json()["revoked_at"]
    answer = await _redeem(shop, account, revoked["codes"][1])
    assert (answer.status_code, answer.json()["code"]) == (410, "code_expired")
    assert (await _redeem(shop, account, revoked["codes"][0])).json()["code"] == "code_used"
    assert await shop.balance(account) == (10 * USD, 0)


async def test_guessing_is_slowed_down_per_account(shop: Any) -> None:
    code = (await _batch(shop))["codes"][0]
    guesser, other = uuid7(), uuid7()
    for number in range(GUESSES):
        answer = await _redeem(shop, guesser, new_code() if number % 2 else "mistyped")
        assert (answer.status_code, answer.json()["code"]) == (404, "code_unknown")
    shop.clock.advance(60)
    answer = await _redeem(shop, guesser, code)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "540")
    assert await shop.balance(guesser) == (0, 0)
    shop.clock.advance(541)
    assert (await _redeem(shop, guesser, new_code())).status_code == 404
    assert (await _redeem(shop, other, code)).status_code == 201


async def test_a_code_lies_nowhere_but_in_the_answer(shop: Any) -> None:
    code = (await _batch(shop))["codes"][0]
    rows = await shop.rows("SELECT c::text || b::text, c.hash FROM codes AS c, code_batches AS b")
    assert code[5:] not in rows[0][0]
    assert code.replace("-", "")[4:] not in rows[0][0]
    assert rows[0][1] == hash_of(code, PEPPER)
    assert hash_of(code, "another-pepper-of-sixteen") != rows[0][1]


async def test_what_is_wrong_is_named(shop: Any) -> None:
    admin = shop.headers("admin", "admin")
    good = {"count": 1, "amount": "5", "name": "x"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0.0000000001"}, "amount"),
        ({"name": ""}, "name"),
        ({"expires_at": "2025-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-01-01T00:00:00"}, "expires_at"),
    ]
    for fields, param in wrong:
        answer = await shop.http.post("/api/billing/codes", json=good | fields, headers=admin)
        assert answer.status_code == 400, fields
        assert param in answer.text, fields
    user = shop.headers(uuid7())
    for method, path in (("POST", ""), ("GET", ""), ("DELETE", f"/{uuid7()}")):
        answer = await shop.http.request(method, f"/api/billing/codes{path}", json=good, headers=user)
        assert answer.status_code == 403
    assert (await shop.http.delete(f"/api/billing/codes/{uuid7()}", headers=admin)).status_code == 404
    assert (await shop.http.get(f"/api/billing/codes?batch={uuid7()}", headers=admin)).status_code == 404
    assert (await _redeem(shop, uuid7(), "x" * 101)).status_code == 400


async def test_an_admin_redeems_for_somebody_and_nobody_else_does(shop: Any) -> None:
    batch = await _batch(shop, 2)
    ann, bob = uuid7(), uuid7()
    for code, caller, status in (
        (batch["codes"][0], shop.headers("admin", "admin"), 201),
        (batch["codes"][1], shop.headers(bob), 403),
    ):
        body = {"code": code, "account": ann}
        answer = await shop.http.post("/api/billing/redemptions", json=body, headers=caller)
        assert answer.status_code == status, answer.text
    assert await shop.balance(ann) == (5 * USD, 0)
    nobody = await shop.http.post(
        "/api/billing/redemptions", json={"code": batch["codes"][1]}, headers=shop.headers("admin", "admin")
    )
    assert (nobody.status_code, nobody.json()["param"]) == (400, "account")


async def test_without_a_pepper_there_are_no_codes(billing: Any) -> None:
    answer = await _redeem(billing, uuid7(), new_code())
    assert (answer.status_code, answer.json()["code"]) == (503, "codes_disabled")


def test_codes_are_long_enough_and_check_themselves() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    for code in codes:
        groups = code.split("-")
        assert [len(group) for group in groups] == [4] * 6
        assert set("".join(groups)) <= set(ALPHABET)
