"""Tokens revoked, introspected, checked and forgotten; and what the metadata promises."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from common.contracts.errors import ServiceError
from common.contracts.oauth import TOKEN_CHECK, TokenCheck
from common.contracts.principals import Budget
from oauth.domain.grants import Person, Spending

PERSON = Person(
    "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002", "ann@example.com"
)


async def _introspect(oauth: Any, app: Any, secret: str, token: str) -> dict[str, Any]:
    answer = await oauth.ask("/oauth/introspect", app, secret, token=token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, Any] = answer.json()
    return told


async def _revoke(oauth: Any, app: Any, secret: str, token: str, **form: str) -> httpx.Response:
    answer: httpx.Response = await oauth.ask("/oauth/revoke", app, secret, token=token, **form)
    return answer


async def _is_live(oauth: Any, token: str) -> bool:
    try:
        await oauth.rpc.call(TOKEN_CHECK, TokenCheck(token))
    except ServiceError as error:
        if (error.error_code, error.error_status) != ("invalid_token", 401):
            raise
        return False
    return True


async def test_a_revoked_access_token_ends_alone_and_others_hear_of_it(oauth: Any) -> None:
    app, secret = await oauth.app()
    told = await oauth.tokens(app, secret)
    answer = await _revoke(oauth, app, secret, told["access_token"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert not await _is_live(oauth, told["access_token"])
    assert (await _introspect(oauth, app, secret, told["refresh_token"]))["active"]
    [event] = await oauth.events(1)
    assert (event["type"], event["by"], event["app"]) == ("oauth.tokens.revoked.v1", "app", app.client_id)


async def test_a_revoked_refresh_token_ends_all_of_its_family_and_no_other(oauth: Any) -> None:
    app, secret = await oauth.app()
    told = await oauth.tokens(app, secret, person=PERSON)
    other = await oauth.tokens(app, secret, person=PERSON)
    hint = {"token_type_hint": "access_token"}  # a wrong hint finds it too (RFC 7009 section 2.1)
    assert (await _revoke(oauth, app, secret, told["refresh_token"], **hint)).status_code == 200
    assert not await _is_live(oauth, told["access_token"])
    assert not (await _introspect(oauth, app, secret, told["refresh_token"]))["active"]
    assert await _is_live(oauth, other["access_token"])
    assert (await _revoke(oauth, app, secret, told["refresh_token"])).status_code == 200
    assert (await oauth.events(1))[0]["by"] == "app"
    assert await oauth.rows("SELECT 1 FROM people WHERE event_sequence = 1")


async def test_no_token_outlives_a_revocation_that_comes_while_it_is_made(bare_oauth: Any) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica(), await oauth.start_replica()]
    app, secret = await oauth.app()
    own = {"client_id": app.client_id, "client_secret": secret}
    for _ in range(5):
        held = await oauth.tokens(app, secret)
        renewal = own | {"grant_type": "refresh_token", "refresh_token": held["refresh_token"]}
        revocation = own | {"token": held["refresh_token"]}
        renewed, revoked = await asyncio.gather(
            replicas[0].post("/oauth/token", data=renewal),
            replicas[1].post("/oauth/revoke", data=revocation),
        )
        assert revoked.status_code == 200
        assert renewed.status_code in (200, 400)
        for answer in (held, renewed.json()):
            for name in ("access_token", "refresh_token"):
                assert not (await _introspect(oauth, app, secret, answer.get(name, "none")))["active"]


async def test_what_is_unknown_is_revoked_with_200_and_what_is_anothers_is_refused(oauth: Any) -> None:
    app, secret = await oauth.app()
    thief, own = await oauth.app()
    told = await oauth.tokens(app, secret)
    for token in ("toa_unknown", "tor_unknown", "sk-other", "\u00e9"):
        answer = await _revoke(oauth, app, secret, token, token_type_hint="nonsense")
        assert answer.status_code == 200
    for token in (told["access_token"], told["refresh_token"]):
        answer = await _revoke(oauth, thief, own, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert not (await _introspect(oauth, thief, own, token))["active"]
    assert await _is_live(oauth, told["access_token"])
    answer = await oauth.ask("/oauth/revoke", app, secret)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_introspection_tells_what_rfc_7662_lists_and_the_apps_own_name_of_the_person(
    oauth: Any,
) -> None:
    app, secret = await oauth.app()
    told = await oauth.tokens(app, secret, person=PERSON)
    now = int(oauth.clock.time())
    seen = await _introspect(oauth, app, secret, told["access_token"])
    subject = seen.pop("sub")
    assert subject.startswith("sub_")
    expected = {
        "active": True,
        "scope": "relay charge offline_access",
        "client_id": app.client_id,
        "iat": now,
        "exp": now + 3600,
        "iss": "http://127.0.0.1:8080",
        "aud": "http://127.0.0.1:8080",
        "token_type": "Bearer",
        "authorization_details": told["authorization_details"],
    }
    assert seen == expected
    seen = await _introspect(oauth, app, secret, told["refresh_token"])
    assert seen.pop("sub") == subject
    month_s = int(timedelta(days=30).total_seconds())
    del expected["token_type"]
    assert seen == expected | {"exp": now + month_s}
    other, own = await oauth.app()
    theirs = await oauth.tokens(other, own, person=PERSON)
    assert (await _introspect(oauth, other, own, theirs["access_token"]))["sub"] != subject


async def test_of_a_token_that_does_not_count_only_that_is_told(oauth: Any) -> None:
    app, secret = await oauth.app()
    thief, own = await oauth.app()
    told = await oauth.tokens(app, secret)
    inactive = {"active": False}
    for token in (told["access_token"], told["refresh_token"], "toa_x", "tor_x", "x"):
        assert await _introspect(oauth, thief, own, token) == inactive
    oauth.clock.advance(3600)
    assert await _introspect(oauth, app, secret, told["access_token"]) == inactive
    oauth.clock.advance(timedelta(days=30).total_seconds())
    assert await _introspect(oauth, app, secret, told["refresh_token"]) == inactive
    answer = await oauth.ask("/oauth/introspect", app, secret)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_another_service_learns_what_a_token_stands_for(oauth: Any) -> None:
    app, secret = await oauth.app()
    end = oauth.clock.now() + timedelta(minutes=10)
    spending = Spending(5_000_000_000, "month", "UTC", 500_000_000, end)
    told = await oauth.tokens(app, secret, person=PERSON, spending=spending)
    [[grant]] = await oauth.rows("SELECT id::text FROM grants")
    found = await oauth.rpc.call(TOKEN_CHECK, TokenCheck(told["access_token"]))
    assert (found.grant, found.app, found.user, found.account) == (
        grant,
        app.client_id,
        PERSON.user,
        PERSON.account,
    )
    assert found.scopes == ("relay", "charge", "offline_access")
    assert found.expires_at_s == int(end.timestamp())
    assert found.budget == Budget(5_000_000_000, "month", "UTC", 80, 500_000_000)
    assert found.jkt == ""
    await oauth.rows("UPDATE grants SET scopes = '{relay}'")
    assert (await oauth.rpc.call(TOKEN_CHECK, TokenCheck(told["access_token"]))).scopes == ("relay",)
    for token in ("", "toa_", "toa_x", told["refresh_token"], secret):
        assert not await _is_live(oauth, token)
    await oauth.rows("UPDATE apps SET disabled_at = now(), disabled_by = 'owner'")
    assert not await _is_live(oauth, told["access_token"])


async def test_what_ended_is_forgotten_after_a_day_and_not_before(oauth: Any) -> None:
    app, secret = await oauth.app()
    await oauth.tokens(app, secret)
    tables = ("access_tokens", "refresh_tokens", "codes", "families", "used_proofs")
    async with oauth.store.transaction() as work:
        await work.use_proof(b"p" * 32, oauth.clock.now())

    async def counts() -> list[int]:
        await oauth.store.prune(oauth.clock.now())
        return [(await oauth.rows("SELECT count(*) FROM " + table))[0][0] for table in tables]  # noqa: S608

    day_s = timedelta(days=1).total_seconds()
    oauth.clock.advance(day_s + 3600)
    assert await counts() == [1, 1, 1, 1, 0]
    oauth.clock.advance(1)
    assert await counts() == [0, 1, 1, 1, 0]
    oauth.clock.advance(29 * day_s)
    assert await counts() == [0, 1, 1, 1, 0]
    oauth.clock.advance(day_s)
    assert await counts() == [0, 0, 1, 1, 0]
    oauth.clock.advance(366 * day_s)
    assert await counts() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8080", "https://tollway.example"])
async def test_the_metadata_lists_what_works_under_the_issuer(bare_oauth: Any, issuer: str) -> None:
    http = await bare_oauth.start_replica(issuer=issuer)
    answer = await http.get("/.well-known/oauth-authorization-server")
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["issuer"] == issuer
    for name, path in (("token", "token"), ("revocation", "revoke"), ("introspection", "introspect")):
        assert told[f"{name}_endpoint"] == f"{issuer}/oauth/{path}"
        assert "private_key_jwt" in told[f"{name}_endpoint_auth_methods_supported"]
        assert "none" not in told[f"{name}_endpoint_auth_signing_alg_values_supported"]
        assert (await http.post(f"/oauth/{path}")).json()["error"] == "invalid_request"
    assert "none" in told["token_endpoint_auth_methods_supported"]
    assert "none" not in told["introspection_endpoint_auth_methods_supported"]
    assert {"authorization_code", "refresh_token"} <= set(told["grant_types_supported"])
    assert "ES256" in told["dpop_signing_alg_values_supported"]
    assert {"openid", "relay", "charge"} <= set(told["scopes_supported"])
    assert "management_token" not in told["scopes_supported"]
