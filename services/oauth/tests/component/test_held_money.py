"""What is held for an app goes back at once when the app may not take it any more, and not before."""

import asyncio
from typing import Any

import pytest

ENDS = {
    "the grant's time is over": "UPDATE grants SET expires_at = $1 WHERE id = $2",
    "the app is disabled": "UPDATE apps SET disabled_at = $1, disabled_by = 'owner'"
    " WHERE id = (SELECT app FROM grants WHERE id = $2)",
    "the person took it back": "UPDATE grants SET revoked_at = $1, revoked_by = 'user' WHERE id = $2",
}


async def state_of(shop: Any, charge: Any) -> str:
    rows = await shop.oauth.rows("SELECT state FROM charges WHERE id = $1", charge["id"])
    return str(rows[0]["state"])


@pytest.mark.parametrize("end", ENDS)
async def test_it_goes_back_when(shop: Any, end: str) -> None:
    other = await shop.ledger.shop(shop.oauth).open("10")
    kept = await other.charge("3", capture=False)
    held = [await shop.charge("2", capture=False) for _ in range(3)]
    taken = await shop.charge("1")
    shop.oauth.clock.advance(1)
    await shop.oauth.rows(ENDS[end], shop.oauth.clock.now(), held[0]["grant"])
    async with asyncio.timeout(15):
        while {await state_of(shop, charge) for charge in held} != {"canceled"}:  # noqa: ASYNC110  nobody calls
            await asyncio.sleep(0.1)  # reason: the interval of a poll
    assert await shop.ledger.balance(shop.person.account) == "99"
    assert await state_of(shop, taken) == "succeeded"
    assert await state_of(other, kept) == "requires_capture"
    assert await shop.oauth.rows("SELECT charge::text FROM charges_due") == [(kept["id"],)]
    await shop.ledger.prove()


async def test_it_stays_while_the_grants_time_is_to_come(shop: Any) -> None:
    held = await shop.charge("2", capture=False)
    soon = shop.oauth.clock.now().replace(year=2027)
    await shop.oauth.rows("UPDATE grants SET expires_at = $1", soon)
    await shop.oauth.state.charges.sweep()
    assert await state_of(shop, held) == "requires_capture"
    captured = await shop.act(f"{held['id']}/capture")
    assert captured.status_code in (200, 201), captured.text
