"""People as the gateway tells of them: what a disabled one allowed stops, and goes on when they are back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from common.contracts.identity import UserState, UserUpdated
from common.kit.ids import uuid7
from oauth.domain.grants import Person

USERINFO = "/oauth/userinfo"


async def _tell(oauth: Any, person: Person, sequence: int, *, enabled: bool) -> None:
    """The gateway changed the person and says so."""
    oauth.people.users[person.user] = UserState(person.user, person.account, "new@example.com", enabled)
    event = UserUpdated(uuid7(), sequence, person.user, person.account)
    await oauth.bus.publish(f"identity.user.updated.v1.{person.user}", msgspec.json.encode(event))


async def _given(oauth: Any) -> tuple[Person, Callable[[], Awaitable[int]]]:
    """A person who signed in at an app, and what userinfo answers to its token."""
    person = Person(uuid7(), uuid7(), "ann@example.com")
    app, secret = await oauth.app()
    tokens = await oauth.tokens(app, secret, "openid", "email", person=person)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}

    async def status() -> int:
        return int((await oauth.http.get(USERINFO, headers=headers)).status_code)

    return person, status


async def _until(probe: Callable[[], Awaitable[Any]], wanted: object, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while True:
            if await probe() == wanted:
                return
            await asyncio.sleep(0.02)  # reason: the interval of a poll


async def _people(oauth: Any) -> list[tuple[int, bool]]:
    rows = await oauth.rows("SELECT identity_sequence, enabled FROM people")
    return [(row["identity_sequence"], row["enabled"]) for row in rows]


async def test_a_disabled_persons_tokens_stop_within_a_second_and_come_back(oauth: Any) -> None:
    person, status = await _given(oauth)
    bystander, other = await _given(oauth)
    assert await status() == 200
    await _tell(oauth, person, 2, enabled=False)
    await _until(status, 401, 1)
    assert await other() == 200
    await _tell(oauth, person, 3, enabled=True)
    await _until(status, 200, 1)
    [row] = await oauth.rows("SELECT email FROM people WHERE user_id = $1", person.user)
    assert row["email"] == "new@example.com"
    assert bystander.user != person.user


async def test_who_is_disabled_before_the_first_consent_stays_so(oauth: Any) -> None:
    person = Person(uuid7(), uuid7(), "ann@example.com")
    await _tell(oauth, person, 2, enabled=False)
    await _until(lambda: _people(oauth), [(2, False)], 5)
    app, secret = await oauth.app()
    code = await oauth.code(app, "openid", person=person)
    assert (await oauth.redeem(app, secret, code)).json()["error"] == "invalid_grant"


async def test_answers_that_come_late_do_not_undo_later_ones(oauth: Any) -> None:
    person, status = await _given(oauth)
    for sequence, enabled in ((7, False), (5, True), (6, True)):
        async with oauth.store.transaction() as work:
            await work.people.follow(Person(person.user, person.account, "", enabled), sequence)
        assert await status() == 401
    async with oauth.store.transaction() as work:
        await work.people.follow(person, 8)
    assert await status() == 200


async def test_two_replicas_that_follow_many_changes_end_with_the_last(bare_oauth: Any) -> None:
    for _ in range(2):
        await bare_oauth.start_replica()
    person, status = await _given(bare_oauth)
    for sequence in range(2, 40):
        await _tell(bare_oauth, person, sequence, enabled=sequence % 2 == 0)
    await _until(lambda: _people(bare_oauth), [(39, False)], 10)
    assert await status() == 401


async def test_a_user_whom_the_gateway_does_not_know_is_passed_over(oauth: Any) -> None:
    nobody = UserUpdated(uuid7(), 1, uuid7(), uuid7())
    await oauth.bus.publish(f"identity.user.updated.v1.{nobody.user}", msgspec.json.encode(nobody))
    await oauth.bus.publish(f"identity.user.updated.v1.{uuid7()}", b"not json")
    person, status = await _given(oauth)
    await _tell(oauth, person, 2, enabled=False)
    await _until(status, 401, 5)
