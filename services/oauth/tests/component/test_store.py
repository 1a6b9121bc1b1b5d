"""What is stored is found again, counts while it should, and is taken once."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from common.contracts.errors import ConflictError
from common.contracts.oauth import GrantRevoked
from common.kit.db import Database
from common.kit.ids import uuid7
from common.testing.clock import START
from oauth.adapters.postgres.store import PostgresStore
from oauth.domain.apps import App
from oauth.domain.grants import Grant, Person, Spending
from oauth.domain.tokens import (
    AccessToken,
    Code,
    Digester,
    Family,
    LiveToken,
    RefreshToken,
    Standing,
    Swap,
    generate,
)

HOUR = timedelta(hours=1)


def _store(oauth: Any) -> PostgresStore:
    database = Database(oauth.dsn, 8)
    oauth.stack.push_async_callback(database.close)
    return PostgresStore(database, lambda: None)


async def _token(store: PostgresStore) -> LiveToken:
    person = Person(uuid7(), uuid7(), "ann@example.com")
    app = App(
        id=uuid7(),
        client_id=uuid7(),
        name="Cards",
        auth_method="client_secret_basic",
        redirect_uris=("https://cards.example/back",),
        scopes=("openid", "charge"),
        created_at=START,
        updated_at=START,
        secrets=(b"a" * 32, b"b" * 32),
        owner=person.user,
        owner_account=person.account,
    )
    spending = Spending(5_000_000_000, "month", "Europe/Rome", 500_000_000, START + 24 * HOUR)
    grant = Grant(uuid7(), app.id, person.user, ("openid", "charge"), spending, START, START)
    family = Family(uuid7(), grant.id, grant.scopes, START, START, START + 48 * HOUR, "thumb", "nonce")
    digest = Digester("pepper").digest(generate("toa_"))
    token = AccessToken(digest, family.id, ("charge",), START, START + HOUR, "thumb")
    async with store.transaction() as work:
        await work.people.put(person)
        assert await work.apps.add(app)
        assert not await work.apps.add(app)
        await work.grants.add(grant)
        await work.tokens.add_family(family)
        await work.tokens.add_tokens(token, None)
    return LiveToken(token, family, grant, app, person)


async def test_a_token_is_found_with_all_that_it_stands_on(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    assert await store.find_token(made.token.digest, START) == made
    assert await store.find_token(b"x" * 32, START) is None
    assert await store.find_token(made.token.digest, START + HOUR) is None


async def test_tokens_that_are_asked_for_together_are_each_found_in_their_place(oauth: Any) -> None:
    store = _store(oauth)
    one, other = await _token(store), await _token(store)
    digests = [other.token.digest, b"x" * 32, one.token.digest, other.token.digest]
    assert await store.find_tokens(digests, START) == [other, None, one, other]
    await oauth.rows("UPDATE families SET revoked_at = now() WHERE id = $1", one.family.id)
    assert await store.find_tokens(digests, START) == [other, None, None, other]


async def test_a_transaction_that_fails_leaves_nothing_whichever_way_it_was_written(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    family = msgspec.structs.replace(made.family, id=uuid7())
    app = msgspec.structs.replace(made.app, id=uuid7(), client_id=uuid7())

    async def fail() -> None:
        async with store.transaction() as work:
            await work.apps.add(app)
            await work.tokens.add_family(family)
            assert await work.apps.get(app.id) == app
            raise ConflictError("It fails.")

    with pytest.raises(ConflictError):
        await fail()
    async with store.transaction() as work:
        assert await work.apps.get(app.id) is None
        assert await work.tokens.get_family(family.id) is None
        assert await work.tokens.get_family(made.family.id) == made.family


async def test_a_token_counts_only_while_everything_under_it_does(oauth: Any) -> None:
    store = _store(oauth)
    for statement in (
        "UPDATE families SET revoked_at = now()",
        "UPDATE grants SET revoked_at = now(), revoked_by = 'user'",
        "UPDATE grants SET expires_at = '2026-01-15T11:59Z'",
        "UPDATE apps SET disabled_at = now(), disabled_by = 'owner'",
        "UPDATE people SET enabled = false",
    ):
        made = await _token(store)
        assert await store.find_token(made.token.digest, START) is not None
        await oauth.rows(statement)
        assert await store.find_token(made.token.digest, START) is None, statement


async def test_codes_and_refresh_tokens_are_taken_by_one_of_many_at_once(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    async with store.transaction() as work:
        await work.tokens.add_code(Code(b"c" * 32, made.family.id, "https://x.example", "s256", START + HOUR))
        access = msgspec.structs.replace(made.token, digest=b"a" * 32)
        refresh = RefreshToken(b"r" * 32, made.family.id, START, START + HOUR)
        await work.tokens.add_tokens(access, refresh)
        await work.requests.add("consent", b"q" * 32, made.app.id, "{}", START + HOUR, made.person.user)

    async def take(number: int) -> list[object]:
        swap = Swap(b"c" * 32, msgspec.structs.replace(made.token, digest=bytes([number]) * 32))
        renewal = RefreshToken(bytes([number + 20]) * 32, made.family.id, START, START + HOUR)
        access = msgspec.structs.replace(made.token, digest=bytes([number + 40]) * 32)
        async with store.exchanging() as work:
            given = [
                *await work.swap("codes", [swap], START),
                *await work.swap("refresh_tokens", [Swap(b"r" * 32, access, renewal)], START),
            ]
        async with store.transaction() as work:
            return [
                *(one or None for one in given),
                await work.requests.take("consent", b"q" * 32, START, made.person.user),
                await work.use_proof(b"p" * 32, START) or None,
            ]

    taken = await asyncio.gather(*(take(number) for number in range(10)))
    for kind in zip(*taken, strict=True):
        assert len([one for one in kind if one is not None]) == 1
    async with store.exchanging() as exchanging:
        [code] = (await exchanging.find_codes([b"c" * 32])).values()
    assert code[0].used_at == START
    assert code[1] == Standing(made.family, made.grant, made.person)
    assert len(await oauth.rows("SELECT 1 FROM access_tokens")) == 2 + 2
    assert len(await oauth.rows("SELECT 1 FROM refresh_tokens")) == 1 + 1


async def test_what_is_used_up_together_gives_each_its_own_and_what_was_used_nothing(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    async with store.transaction() as work:
        for name in (b"1", b"2", b"3"):
            until = START + (timedelta(0) if name == b"3" else HOUR)
            await work.tokens.add_code(Code(name * 32, made.family.id, "https://x.example", "s256", until))
    access = {
        name: msgspec.structs.replace(made.token, digest=name * 32) for name in (b"a", b"b", b"c", b"d")
    }
    swaps = [
        Swap(b"2" * 32, access[b"a"], RefreshToken(b"r" * 32, made.family.id, START, START + HOUR)),
        Swap(b"1" * 32),
        Swap(b"3" * 32, access[b"b"]),
        Swap(b"x" * 32, access[b"c"]),
    ]
    async with store.exchanging() as exchanging:
        assert await exchanging.swap("codes", swaps, START) == [True, True, False, False]
        again = [Swap(b"1" * 32, access[b"d"]), *swaps]
        assert await exchanging.swap("codes", again, START) == [False] * 5
    assert await store.find_token(b"a" * 32, START) == msgspec.structs.replace(made, token=access[b"a"])
    digests = {row["digest"] for row in await oauth.rows("SELECT digest FROM access_tokens")}
    assert digests == {made.token.digest, b"a" * 32}
    assert [row["digest"] for row in await oauth.rows("SELECT digest FROM refresh_tokens")] == [b"r" * 32]


async def test_the_first_key_that_a_family_is_bound_to_stays(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    await oauth.rows("UPDATE families SET jkt = ''")
    for name, key, bound in ((b"1", "first", "first"), (b"2", "second", "first")):
        async with store.transaction() as work:
            await work.tokens.add_code(
                Code(name * 32, made.family.id, "https://x.example", "s", START + HOUR)
            )
        access = msgspec.structs.replace(made.token, digest=name * 32)
        async with store.exchanging() as exchanging:
            assert await exchanging.swap("codes", [Swap(name * 32, access, None, key)], START) == [True]
        assert [row["jkt"] for row in await oauth.rows("SELECT jkt FROM families")] == [bound]


async def test_a_consent_without_tokens_is_forgotten_but_for_the_newest_of_its_grant(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    later = timedelta(minutes=1)
    unused = [msgspec.structs.replace(made.family, id=uuid7(), created_at=START + n * later) for n in (1, 2)]
    kept = msgspec.structs.replace(made.family, id=uuid7(), created_at=START - later)
    async with store.transaction() as work:
        for family in (*unused, kept):
            await work.tokens.add_family(family)
            code = Code(family.id.encode()[-32:], family.id, "https://x.example", "s256", START + HOUR)
            await work.tokens.add_code(code)
        access = msgspec.structs.replace(made.token, digest=b"r" * 32, family=kept.id)
        await work.tokens.add_tokens(access, RefreshToken(b"r" * 32, kept.id, START, START + 30 * HOUR))

    async def left() -> set[str]:
        return {str(row["id"]) for row in await oauth.rows("SELECT id FROM families")}

    everything = {made.family.id, kept.id, *(family.id for family in unused)}
    await store.prune(START + 24 * HOUR)
    assert await left() == everything
    await store.prune(START + 26 * HOUR)
    assert await left() == {kept.id, unused[1].id}
    assert len(await oauth.rows("SELECT 1 FROM codes")) == 2
    await store.prune(START + 47 * HOUR)
    assert await left() == {kept.id, unused[1].id}


async def test_a_revoked_grant_leaves_room_for_another_and_its_event_is_numbered(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)
    user = made.person.user
    async with store.transaction() as work:
        assert await work.grants.find_live(made.app.id, user) == made.grant
        assert await work.grants.revoke(made.grant.id, "user", START)
        assert not await work.grants.revoke(made.grant.id, "user", START)
        sequence = await work.next_sequence(user)
        work.record(
            GrantRevoked(
                uuid7(), sequence, user, made.person.account, made.grant.id, made.app.client_id, "user"
            )
        )
    assert sequence == 1
    async with store.transaction() as work:
        assert await work.grants.find_live(made.app.id, user) is None
        pages = [
            await work.grants.list_page(user=user, app=None, after=None, limit=5, live=live)
            for live in (True, False)
        ]
    assert [len(page) for page in pages] == [0, 1]
    await store.prune(START + 100 * HOUR)
    assert await oauth.rows("SELECT 1 FROM families") == []


async def test_no_transaction_meets_a_connection_that_the_server_ended(oauth: Any) -> None:
    store = _store(oauth)
    made = await _token(store)

    async def find() -> App | None:
        async with store.transaction() as work:
            return await work.apps.get(made.app.id)

    assert await asyncio.gather(*(find() for _ in range(8))) == [made.app] * 8
    await oauth.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await asyncio.gather(*(find() for _ in range(8))) == [made.app] * 8
