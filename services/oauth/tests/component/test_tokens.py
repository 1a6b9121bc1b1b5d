"""The token endpoint: codes, renewals, and everything that is refused (RFC 6749, RFC 7636, RFC 9700)."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import httpx

from oauth.domain.errors import InvalidTokenError
from oauth.domain.grants import Spending
from oauth.domain.ports import Exchange

FORM = "application/x-www-form-urlencoded"


def _refusal(answer: httpx.Response, status: int = 400) -> str:
    """The error code of a refusal in the shape of RFC 6749 section 5.2."""
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert set(told) == {"error", "error_description"}
    assert all(" " <= c <= "~" and c not in '"\\' for c in told["error_description"])
    code: str = told["error"]
    return code


async def _refresh(oauth: Any, app: Any, secret: str, token: str, **form: str) -> httpx.Response:
    values = {"grant_type": "refresh_token", "refresh_token": token}
    answer: httpx.Response = await oauth.ask("/oauth/token", app, secret, **(values | form))
    return answer


async def _is_active(oauth: Any, app: Any, secret: str, token: str) -> bool:
    answer = await oauth.ask("/oauth/introspect", app, secret, token=token)
    active: bool = answer.json()["active"]
    return active


async def _revocations(oauth: Any) -> list[dict[str, Any]]:
    """Every event that there is, or will be: the numbers of the people say how many."""
    [[count]] = await oauth.rows("SELECT coalesce(sum(event_sequence), 0)::int FROM people")
    events = await oauth.events(count)
    assert {event["type"] for event in events} <= {"oauth.tokens.revoked.v1"}
    return list(events)


async def test_a_code_is_exchanged_for_tokens_that_say_what_was_granted(oauth: Any) -> None:
    app, secret = await oauth.app()
    code = await oauth.code(app)
    answer = await oauth.redeem(app, secret, code, redirect_uri="https://cards.example/back")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told.pop("access_token").startswith("toa_")
    assert told.pop("refresh_token").startswith("tor_")
    assert told == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "relay charge offline_access",
        "authorization_details": [
            {
                "type": "charge_user",
                "currency": "USD",
                "limit": {"amount": "5", "period": "month"},
                "max_per_charge": "0.5",
            }
        ],
    }


async def test_nothing_that_was_handed_out_lies_in_the_database(oauth: Any) -> None:
    app, secret = await oauth.app()
    code = await oauth.code(app)
    told = (await oauth.redeem(app, secret, code)).json()
    for table in ("apps", "codes", "access_tokens", "refresh_tokens", "families", "outbox"):
        dump = str(await oauth.rows("SELECT * FROM " + table))  # noqa: S608  names of the line above
        for text in (code, secret, told["access_token"], told["refresh_token"]):
            assert text not in dump


async def test_sign_in_alone_is_not_renewed_unless_offline_access_was_asked_for(oauth: Any) -> None:
    app, secret = await oauth.app()
    once = await oauth.tokens(app, secret, "openid", "email")
    assert "refresh_token" not in once
    assert "authorization_details" not in once
    assert "refresh_token" in await oauth.tokens(app, secret, "openid", "offline_access")


async def test_a_wrong_exchange_is_refused_with_the_code_of_rfc_6749(oauth: Any) -> None:
    app, secret = await oauth.app()
    cases = (
        ({"code": "toc_unknown"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"code_verifier": "x" * 129}, "invalid_grant"),
        ({"code_verifier": "\u00e9" * 43}, "invalid_grant"),
        ({"redirect_uri": "https://cards.example/back/"}, "invalid_grant"),
        ({"redirect_uri": "https://cards.example/bacK"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"code": "toc_\x00"}, "invalid_request"),
    )
    for form, error in cases:
        answer = await oauth.redeem(app, secret, await oauth.code(app), **form)
        assert _refusal(answer) == error, form


async def test_a_wrong_verifier_burns_the_code(oauth: Any) -> None:
    app, secret = await oauth.app()
    code = await oauth.code(app)
    assert _refusal(await oauth.redeem(app, secret, code, code_verifier="x" * 43)) == "invalid_grant"
    assert _refusal(await oauth.redeem(app, secret, code)) == "invalid_grant"


async def test_another_app_can_neither_use_a_code_nor_burn_it(oauth: Any) -> None:
    app, secret = await oauth.app()
    thief, own = await oauth.app()
    code = await oauth.code(app)
    assert _refusal(await oauth.redeem(thief, own, code)) == "invalid_grant"
    assert (await oauth.redeem(app, secret, code)).status_code == 200


async def test_a_code_lives_a_minute_and_its_expiry_revokes_nothing(oauth: Any) -> None:
    app, secret = await oauth.app()
    code = await oauth.code(app)
    oauth.clock.advance(60)
    assert _refusal(await oauth.redeem(app, secret, code)) == "invalid_grant"
    assert await oauth.rows("SELECT 1 FROM families WHERE revoked_at IS NOT NULL") == []


async def test_a_code_that_comes_again_ends_the_tokens_it_led_to(oauth: Any) -> None:
    app, secret = await oauth.app()
    code = await oauth.code(app)
    told = (await oauth.redeem(app, secret, code)).json()
    assert _refusal(await oauth.redeem(app, secret, code)) == "invalid_grant"
    assert not await _is_active(oauth, app, secret, told["access_token"])
    assert _refusal(await _refresh(oauth, app, secret, told["refresh_token"])) == "invalid_grant"
    assert _refusal(await oauth.redeem(app, secret, code)) == "invalid_grant"
    [event] = await _revocations(oauth)
    assert (event["by"], event["app"], event["sequence"]) == ("replay", app.client_id, 1)


async def test_of_50_uses_of_one_code_on_two_replicas_one_succeeds(bare_oauth: Any) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica(), await oauth.start_replica()]
    app, secret = await oauth.app()
    code = await oauth.code(app)

    async def use(number: int) -> int:
        form = {"grant_type": "authorization_code", "code": code, "client_id": app.client_id}
        form |= {"client_secret": secret, "code_verifier": "verifier-of-the-tests-of-at-least-43-characters"}
        answer: httpx.Response = await replicas[number % 2].post("/oauth/token", data=form)
        return answer.status_code

    statuses = await asyncio.gather(*(use(number) for number in range(50)))
    assert sorted(statuses) == [200] + [400] * 49
    assert len(await oauth.rows("SELECT 1 FROM access_tokens")) == 1
    assert len(await _revocations(oauth)) == 1


async def test_of_50_uses_of_one_refresh_token_on_two_replicas_one_succeeds_and_its_tokens_live(
    bare_oauth: Any,
) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica(), await oauth.start_replica()]
    app, secret = await oauth.app()
    token = (await oauth.tokens(app, secret))["refresh_token"]

    async def use(number: int) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        form |= {"client_id": app.client_id, "client_secret": secret}
        answer: httpx.Response = await replicas[number % 2].post("/oauth/token", data=form)
        return answer

    answers = await asyncio.gather(*(use(number) for number in range(50)))
    [fresh] = [answer.json() for answer in answers if answer.status_code == 200]
    assert {_refusal(answer) for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    assert await _is_active(oauth, app, secret, fresh["access_token"])
    assert (await _refresh(oauth, app, secret, fresh["refresh_token"])).status_code == 200


async def test_a_refresh_token_is_exchanged_for_the_next_one(oauth: Any) -> None:
    app, secret = await oauth.app()
    first = await oauth.tokens(app, secret)
    second = (await _refresh(oauth, app, secret, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    assert second["authorization_details"] == first["authorization_details"]
    assert await _is_active(oauth, app, secret, second["access_token"])
    assert await _is_active(oauth, app, secret, second["refresh_token"])
    assert not await _is_active(oauth, app, secret, first["refresh_token"])


async def test_a_rotated_token_within_the_grace_is_refused_and_later_ends_the_family(oauth: Any) -> None:
    app, secret = await oauth.app()
    first = (await oauth.tokens(app, secret))["refresh_token"]
    second = (await _refresh(oauth, app, secret, first)).json()
    oauth.clock.advance(10)
    assert _refusal(await _refresh(oauth, app, secret, first)) == "invalid_grant"
    assert await _is_active(oauth, app, secret, second["access_token"])
    oauth.clock.advance(0.1)
    assert _refusal(await _refresh(oauth, app, secret, first)) == "invalid_grant"
    assert not await _is_active(oauth, app, secret, second["access_token"])
    assert _refusal(await _refresh(oauth, app, secret, second["refresh_token"])) == "invalid_grant"
    [event] = await _revocations(oauth)
    assert event["by"] == "replay"


async def test_the_scope_of_a_renewal_may_shrink_and_never_grow(oauth: Any) -> None:
    app, secret = await oauth.app()
    first = (await oauth.tokens(app, secret, "relay", "offline_access"))["refresh_token"]
    for scope in ("relay charge", "unknown", "r\u00e9lay", "relay  offline_access"):
        assert _refusal(await _refresh(oauth, app, secret, first, scope=scope)) == "invalid_scope"
    less = (await _refresh(oauth, app, secret, first, scope="relay")).json()
    assert less["scope"] == "relay"
    all_again = (await _refresh(oauth, app, secret, less["refresh_token"])).json()
    assert all_again["scope"] == "relay offline_access"


async def test_another_app_can_neither_use_a_refresh_token_nor_end_its_family(oauth: Any) -> None:
    app, secret = await oauth.app()
    thief, own = await oauth.app()
    token = (await oauth.tokens(app, secret))["refresh_token"]
    assert _refusal(await _refresh(oauth, thief, own, token)) == "invalid_grant"
    assert (await _refresh(oauth, app, secret, token)).status_code == 200
    oauth.clock.advance(60)
    assert _refusal(await _refresh(oauth, thief, own, token)) == "invalid_grant"
    assert await _revocations(oauth) == []


async def test_a_refresh_token_ends_when_it_lies_idle_for_30_days(oauth: Any) -> None:
    app, secret = await oauth.app()
    token = (await oauth.tokens(app, secret))["refresh_token"]
    oauth.clock.advance(timedelta(days=30).total_seconds() - 1)
    fresh = (await _refresh(oauth, app, secret, token)).json()
    oauth.clock.advance(timedelta(days=30).total_seconds())
    assert _refusal(await _refresh(oauth, app, secret, fresh["refresh_token"])) == "invalid_grant"


async def test_no_token_is_made_of_what_has_ended(oauth: Any) -> None:
    app, secret = await oauth.app()
    for statement in (
        "UPDATE families SET revoked_at = now()",
        "UPDATE families SET expires_at = '2026-01-15T12:00Z'",
        "UPDATE grants SET revoked_at = now(), revoked_by = 'user'",
        "UPDATE grants SET expires_at = '2026-01-15T12:00Z'",
        "UPDATE people SET enabled = false",
    ):
        token = (await oauth.tokens(app, secret))["refresh_token"]
        code = await oauth.code(app)
        await oauth.rows(statement)
        assert _refusal(await _refresh(oauth, app, secret, token)) == "invalid_grant", statement
        assert _refusal(await oauth.redeem(app, secret, code)) == "invalid_grant", statement
        assert not await _is_active(oauth, app, secret, token), statement


async def test_no_token_outlives_what_the_person_allowed(oauth: Any) -> None:
    app, secret = await oauth.app()
    end = oauth.clock.now() + timedelta(minutes=10)
    told = await oauth.tokens(app, secret, spending=Spending(10**9, expires_at=end))
    assert told["expires_in"] == 600
    oauth.clock.advance(600)
    assert _refusal(await _refresh(oauth, app, secret, told["refresh_token"])) == "invalid_grant"


async def test_a_scope_that_the_app_lost_is_in_no_new_token(oauth: Any) -> None:
    app, secret = await oauth.app()
    token = (await oauth.tokens(app, secret, "relay", "balance"))["refresh_token"]
    await oauth.rows("UPDATE apps SET scopes = '{relay}'")
    assert (await _refresh(oauth, app, secret, token)).json()["scope"] == "relay"


async def test_a_body_that_is_not_one_strict_form_is_an_invalid_request(oauth: Any) -> None:
    cases = (
        ("application/json", b"{}", 400),
        (FORM, b"grant_type=refresh_token&grant_type=refresh_token", 400),
        (FORM, b"grant_type=authorization_code&code=&code=a", 400),
        (FORM, b"grant_type=%FF", 400),
        (FORM, b"grant_type=\xff", 400),
        (FORM, b"&".join(b"a%d=1" % number for number in range(200)), 400),
        (FORM, b"state=" + b"x" * 70_000, 413),
    )
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect"):
        for kind, body, status in cases:
            answer = await oauth.http.post(path, content=body, headers={"content-type": kind})
            assert _refusal(answer, status) == "invalid_request"


async def test_a_grant_type_of_a_feature_leaves_what_it_returns_and_undoes_what_it_raises(
    oauth: Any,
) -> None:
    app, secret = await oauth.app()
    endpoint = oauth.state.token_endpoint

    def grant_type(*, returns: bool) -> Exchange:
        async def exchange(work: Any, _app: Any, _form: Any) -> Any:
            await work.use_proof(b"p" * 32, oauth.clock.now())
            if returns:
                return InvalidTokenError("kept")
            raise InvalidTokenError("undone")

        return exchange

    endpoint._others = {"kept": grant_type(returns=True), "undone": grant_type(returns=False)}
    for name, rows in (("undone", 0), ("kept", 1)):
        answer = await oauth.ask("/oauth/token", app, secret, grant_type=name)
        assert answer.json()["error_description"] == name
        assert len(await oauth.rows("SELECT 1 FROM used_proofs")) == rows


async def test_a_basic_header_is_read_as_rfc_6749_encodes_it(oauth: Any) -> None:
    await oauth.app(client_id="a:b c", secrets=(oauth.digester.digest("p%+ö:"),))
    pair = b"a%3Ab+c:p%25%2B%C3%B6%3A"
    form = {"grant_type": "authorization_code", "code": "toc_unknown"}
    headers = {"authorization": "Basic " + base64.b64encode(pair).decode()}
    answer = await oauth.http.post("/oauth/token", data=form, headers=headers)
    assert _refusal(answer) == "invalid_grant"
