"""Devices as they are stored: polled at their interval, decided once, taken once, guessed at a few times."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from common.kit.db import Database
from common.kit.ids import uuid7
from common.testing.clock import START
from oauth.adapters.postgres.store import PostgresStore
from oauth.devices.adapters.postgres.devices import devices_in
from oauth.devices.domain.devices import FREE_GUESSES, GUESS_WINDOW, LIFETIME, Device
from oauth.domain.apps import App
from oauth.domain.grants import Grant, Person, Spending
from oauth.domain.tokens import Family

SECOND = timedelta(seconds=1)


def _store(oauth: Any) -> PostgresStore:
    database = Database(oauth.dsn, 8)
    oauth.stack.push_async_callback(database.close)
    return PostgresStore(database, lambda: None)


async def _waiting(store: PostgresStore) -> tuple[Device, str]:
    """A device that waits, and a family that it can be allowed with."""
    person = Person(uuid7(), uuid7())
    app = App(
        id=uuid7(),
        client_id=uuid7(),
        name="Television",
        auth_method="none",
        redirect_uris=(),
        scopes=("relay",),
        created_at=START,
        updated_at=START,
    )
    grant = Grant(uuid7(), app.id, person.user, ("relay",), Spending(1), START, START)
    family = Family(uuid7(), grant.id, grant.scopes, START, START, START + timedelta(days=1))
    device = Device(
        digest=b"d" * 32,
        user_digest=b"u" * 32,
        app=app.id,
        scopes=("relay",),
        details="",
        created_at=START,
        expires_at=START + LIFETIME,
    )
    async with store.transaction() as work:
        await work.people.put(person)
        await work.apps.add(app)
        await work.grants.add(grant)
        await work.tokens.add_family(family)
        assert await devices_in(work).add(device)
        assert not await devices_in(work).add(msgspec.structs.replace(device, digest=b"e" * 32))
    return device, family.id


async def test_a_device_that_asks_too_soon_asks_more_seldom_from_then_on(oauth: Any) -> None:
    store = _store(oauth)
    device, _ = await _waiting(store)
    asked = (0, 5, 9, 18, 19, 34)
    found = []
    for second in asked:
        async with store.transaction() as work:
            poll = await devices_in(work).poll(device.digest, device.app, START + second * SECOND)
        assert poll is not None
        found.append((poll.too_soon, poll.device.interval_s))
    assert found == [(False, 5), (False, 5), (True, 10), (True, 15), (True, 20), (True, 25)]
    async with store.transaction() as work:
        assert await devices_in(work).poll(device.digest, uuid7(), START) is None
        assert await devices_in(work).poll(b"x" * 32, device.app, START) is None


async def test_many_questions_at_once_count_one_after_the_other(oauth: Any) -> None:
    store = _store(oauth)
    device, _ = await _waiting(store)

    async def poll() -> bool:
        async with store.transaction() as work:
            found = await devices_in(work).poll(device.digest, device.app, START)
            assert found is not None
            return found.too_soon

    assert sorted(await asyncio.gather(*(poll() for _ in range(10)))) == [False] + [True] * 9


async def test_a_device_is_decided_once_and_taken_once(oauth: Any) -> None:
    store = _store(oauth)
    device, family = await _waiting(store)

    async def decide(family: str | None) -> bool:
        async with store.transaction() as work:
            return await devices_in(work).decide(device.digest, family, START)

    async def take() -> str | None:
        async with store.transaction() as work:
            return await devices_in(work).take(device.digest, START)

    assert await take() is None
    assert sorted(await asyncio.gather(*(decide(family) for _ in range(10)))) == [False] * 9 + [True]
    assert not await decide(None)
    async with store.transaction() as work:
        assert await devices_in(work).find_waiting(device.user_digest, START) is None
    taken = await asyncio.gather(*(take() for _ in range(10)))
    assert sorted(one for one in taken if one) == [family]


async def test_an_expired_device_is_kept_for_a_day_and_nothing_happens_to_it(oauth: Any) -> None:
    store = _store(oauth)
    device, family = await _waiting(store)
    late = START + LIFETIME
    async with store.transaction() as work:
        devices = devices_in(work)
        assert await devices.find_waiting(device.user_digest, late - SECOND) == device
        assert await devices.find_waiting(device.user_digest, late) is None
        assert not await devices.decide(device.digest, family, late)
        await devices.prune(late)
        assert await devices.poll(device.digest, device.app, late) is not None
        await devices.prune(late + timedelta(days=1, seconds=1))
        assert await devices.poll(device.digest, device.app, late) is None


async def test_five_wrong_guesses_in_ten_minutes_are_all(oauth: Any) -> None:
    store = _store(oauth)
    user = uuid7()

    async def guess(seconds: int = 0) -> object:
        async with store.transaction() as work:
            return await devices_in(work).count_guess(user, START + seconds * SECOND)

    waits = await asyncio.gather(*(guess() for _ in range(20)))
    assert waits.count(None) == FREE_GUESSES
    assert {wait for wait in waits if wait} == {START + GUESS_WINDOW}
    assert await guess(599) == START + GUESS_WINDOW
    async with store.transaction() as work:
        await devices_in(work).forgive_guess(user)
    assert await guess(599) is None
    assert await guess(599) is not None
    assert [await guess(600) for _ in range(5)] == [None] * 5
    assert await guess(600) is not None
