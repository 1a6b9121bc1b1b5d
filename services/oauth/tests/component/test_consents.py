"""Consent: what is stored is what was entered, once, by the person who saw the page."""

import asyncio
import html
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from common.contracts.oauth import GrantCreated, GrantUpdated
from oauth.domain.grants import Spending

BACK = "https://cards.example/back"
DETAIL = {
    "type": "charge_user",
    "currency": "USD",
    "limit": {"amount": "5.00", "period": "month"},
    "max_per_charge": "0.50",
    "expires_at": "2027-01-01T00:00:00Z",
}
DETAILS = json.dumps([DETAIL])


async def _page(oauth: Any, app: Any, token: str, *scopes: str, **changed: str | None) -> tuple[str, str]:
    """The path of the page that the app led to, and its HTML."""
    asked = await oauth.visit("/oauth/authorize", token, params=oauth.question(app, *scopes, **changed))
    path = asked.headers["location"]
    shown = await oauth.visit(path, token)
    assert shown.status_code == 200, shown.text
    return path, shown.text


def _fields(page: str) -> dict[str, str]:
    """The values that the form shows."""
    inputs = re.findall(r'<input id="(\w+)"[^>]*? value="([^"]*)"', page)
    chosen = re.findall(r'<select id="(\w+)".*?<option value="([^"]*)" selected>', page, re.DOTALL)
    return {name: html.unescape(value) for name, value in (*inputs, *chosen)}


def _told(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def _grants(oauth: Any) -> list[Any]:
    async with oauth.store.transaction() as work:
        rows = await oauth.rows("SELECT id FROM grants ORDER BY id")
        return [await work.grants.get(str(row["id"])) for row in rows]


async def test_the_form_proposes_what_the_app_asks_and_stores_what_the_person_enters(oauth: Any) -> None:
    app, secret = await oauth.app()
    token, session = oauth.people.sign_in()
    path, page = await _page(oauth, app, token, "charge", authorization_details=DETAILS)
    asked = {"limit": "5", "period": "month", "max_per_charge": "0.5", "timezone": "UTC"}
    assert _fields(page) == asked | {"expires_at": "2027-01-01T00:00"}
    entered = {"limit": "1.25", "period": "week", "max_per_charge": "", "timezone": "Asia/Shanghai"}
    told = _told(await oauth.decide(path, token, session.csrf, **entered))
    [grant] = await _grants(oauth)
    assert grant.spending == Spending(1_250_000_000, "week", "Asia/Shanghai")
    tokens = (await oauth.redeem(app, secret, told["code"])).json()
    limit = {"amount": "1.25", "period": "week", "timezone": "Asia/Shanghai"}
    assert tokens["authorization_details"] == [{"type": "charge_user", "currency": "USD", "limit": limit}]


async def test_without_details_the_form_asks_for_a_limit_all_the_same(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, _ = oauth.people.sign_in()
    default = {"limit": "5", "period": "month", "max_per_charge": "", "timezone": "UTC", "expires_at": ""}
    for scope in ("charge", "relay"):
        _, page = await _page(oauth, app, token, "openid", scope)
        assert _fields(page) == default
    _, page = await _page(oauth, app, token, "openid", "email")
    assert _fields(page) == {}


async def test_a_wrong_field_shows_the_form_again_with_everything_that_was_entered(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    path, _ = await _page(oauth, app, token, "charge")
    entered = {
        "limit": '5"><script>alert(1)</script>',
        "period": "day",
        "timezone": "Asia/Tokyo",
        "max_per_charge": "2",
        "expires_at": "2020-01-01T00:00",
    }
    answer = await oauth.decide(path, token, session.csrf, **entered)
    assert answer.status_code == 400
    assert _fields(answer.text) == entered
    assert "<script" not in answer.text
    assert answer.text.count('aria-invalid="true"') == 2
    assert 'id="limit-fault"' in answer.text
    assert 'id="expires_at-fault"' in answer.text
    assert await _grants(oauth) == []
    assert "code" in _told(await oauth.decide(path, token, session.csrf, limit="7"))


async def test_who_says_no_grants_nothing_and_the_app_is_told(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    path, _ = await _page(oauth, app, token, "charge")
    for decision in ("deny", ""):
        told = await oauth.decide(path, token, session.csrf, decision, limit="wrong")
        if decision:
            assert _told(told)["error"] == "access_denied"
            assert _told(told)["state"] == "state-1"
        else:
            assert told.status_code == 410
    assert await _grants(oauth) == []
    assert await oauth.rows("SELECT 1 FROM codes") == []


async def test_of_many_at_once_one_counts_on_two_replicas(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    path, _ = await _page(oauth, app, token, "charge")
    first, form = oauth.http, oauth.decide
    second = await oauth.start_replica()

    async def post(client: httpx.AsyncClient) -> httpx.Response:
        oauth.http = client
        answer: httpx.Response = await form(path, token, session.csrf)
        return answer

    answers = await asyncio.gather(*(post((first, second)[number % 2]) for number in range(50)))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 49
    tables = "SELECT (SELECT count(*) FROM grants), (SELECT count(*) FROM codes)"
    assert [tuple(row) for row in await oauth.rows(tables)] == [(1, 1)]


async def test_two_consents_of_a_person_at_once_make_one_grant(oauth: Any) -> None:
    app, _ = await oauth.app()
    browser = oauth.people.sign_in()
    codes = await asyncio.gather(
        *(oauth.authorize(app, "charge", browser=browser, prompt="consent") for _ in range(8))
    )
    assert len(set(codes)) == 8
    assert len(await _grants(oauth)) == 1
    numbers = await oauth.rows("SELECT event_sequence FROM people")
    assert [row["event_sequence"] for row in numbers] == [1]


@pytest.mark.parametrize("given", ["", "wrong", "é"])
async def test_a_form_that_no_page_of_the_session_sent_decides_nothing(oauth: Any, given: str) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    _, other = oauth.people.sign_in("eve@example.com")
    path, _ = await _page(oauth, app, token)
    for csrf in (given, other.csrf, session.csrf + "x"):
        for decision in ("allow", "deny"):
            answer = await oauth.decide(path, token, csrf, decision)
            assert answer.status_code == 403
            assert "location" not in answer.headers
    assert await _grants(oauth) == []
    assert "code" in _told(await oauth.decide(path, token, session.csrf))


async def test_only_the_session_that_saw_the_page_last_decides(oauth: Any) -> None:
    app, _ = await oauth.app()
    (ann, ann_session), (eve, eve_session) = (oauth.people.sign_in() for _ in range(2))
    path, _ = await _page(oauth, app, ann)
    assert (await oauth.decide(path, eve, eve_session.csrf)).status_code == 410
    assert (await oauth.visit(path, eve)).status_code == 200
    assert (await oauth.decide(path, ann, ann_session.csrf)).status_code == 410
    assert "code" in _told(await oauth.decide(path, eve, eve_session.csrf))
    [grant] = await _grants(oauth)
    assert grant.user == eve_session.user


async def test_a_used_an_old_and_an_invented_ticket_are_over(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    path, _ = await _page(oauth, app, token)
    await oauth.decide(path, token, session.csrf)
    old, _ = await _page(oauth, app, token, prompt="consent")
    oauth.clock.advance(15 * 60)
    for gone in (path, old, "/oauth/consent?request=invented"):
        assert (await oauth.visit(gone, token)).status_code == 410
        assert (await oauth.visit(gone)).status_code == 410
        assert (await oauth.decide(gone, token, session.csrf)).status_code == 410
    for wrong in ("/oauth/consent", "/oauth/consent?request=%00"):
        assert (await oauth.visit(wrong, token)).status_code == 410


async def test_who_signed_out_meanwhile_signs_in_and_comes_back(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    path, page = await _page(oauth, app, token)
    assert f'name="next" value="{path}"' in page
    assert 'action="/login/end"' in page
    del oauth.people.sessions[token]
    answer = await oauth.decide(path, token, session.csrf)
    assert answer.headers["location"].startswith("/login?next=%2Foauth%2Fconsent")
    other, fresh = oauth.people.sign_in("bob@example.com")
    assert "bob@example.com" in (await oauth.visit(path, other)).text
    assert "code" in _told(await oauth.decide(path, other, fresh.csrf))


async def test_what_was_allowed_before_is_not_asked_again(oauth: Any) -> None:
    app, _ = await oauth.app()
    browser = oauth.people.sign_in()
    token = browser[0]
    form = {"max_per_charge": "0.5", "expires_at": "2027-01-01T00:00"}
    await oauth.authorize(app, "openid", "charge", browser=browser, form=form)
    [before] = await _grants(oauth)

    async def asks(*scopes: str, **changed: str) -> bool:
        question = oauth.question(app, *scopes, **changed)
        answer = await oauth.visit("/oauth/authorize", token, params=question)
        return str(answer.headers["location"]).startswith("/oauth/consent")

    same = {"authorization_details": DETAILS}
    for scopes, changed in ((("openid",), {}), (("charge",), {}), (("charge", "openid"), same)):
        assert not await asks(*scopes, **changed)
    assert await _grants(oauth) == [before]
    for name, value in (
        ("limit", {"amount": "5.01", "period": "month"}),
        ("limit", {"amount": "5", "period": "week"}),
        ("limit", {"amount": "5", "period": "month", "timezone": "Asia/Tokyo"}),
        ("max_per_charge", "0.51"),
        ("expires_at", "2027-01-01T00:00:01Z"),
    ):
        assert await asks("charge", authorization_details=json.dumps([DETAIL | {name: value}])), (name, value)
    assert await asks("openid", "email")
    assert await asks("openid", prompt="consent")
    [person] = await oauth.rows("SELECT event_sequence FROM people")
    assert person["event_sequence"] == 1


async def test_a_person_who_comes_back_signed_out_is_not_asked_again_either(oauth: Any) -> None:
    app, _ = await oauth.app()
    browser = oauth.people.sign_in()
    await oauth.authorize(app, browser=browser)
    page = (await oauth.visit("/oauth/authorize", params=oauth.question(app))).headers["location"]
    assert (await oauth.visit(page)).headers["location"].startswith("/login")
    onward = (await oauth.visit(page, browser[0])).text
    assert f'content="0; url={BACK}?code=toc_' in onward
    assert (await oauth.visit(page, browser[0])).status_code == 410


async def test_an_app_that_anybody_can_pretend_to_be_always_shows_the_page(oauth: Any) -> None:
    browser = oauth.people.sign_in()
    for redirect_uri, is_shown in (
        ("http://127.0.0.1/back", True),
        ("com.example.app:/back", True),
        (BACK, False),
    ):
        app, _ = await oauth.app("none", redirect_uris=(redirect_uri,))
        await oauth.authorize(app, browser=browser, redirect_uri=redirect_uri)
        question = oauth.question(app, redirect_uri=redirect_uri)
        answer = await oauth.visit("/oauth/authorize", browser[0], params=question)
        assert answer.headers["location"].startswith("/oauth/consent") is is_shown


async def test_consent_given_again_changes_the_grant_and_says_so(oauth: Any) -> None:
    app, _ = await oauth.app()
    browser = oauth.people.sign_in()
    await oauth.authorize(app, "openid", "charge", browser=browser, form={"limit": "2"})
    _, page = await _page(oauth, app, browser[0], "relay", authorization_details=DETAILS)
    assert _fields(page)["limit"] == "2"
    await oauth.authorize(app, "relay", browser=browser, form={"limit": "3", "max_per_charge": "1"})
    await oauth.authorize(app, "email", browser=browser)
    [grant] = await _grants(oauth)
    assert grant.scopes == ("openid", "charge", "relay", "email")
    assert grant.spending == Spending(3_000_000_000, "month", "UTC", 1_000_000_000)
    created, *updated = await oauth.events(3)
    first = msgspec.convert(created, GrantCreated)
    assert (first.grant, first.limit, first.period, first.sequence) == (grant.id, "2", "month", 1)
    last = msgspec.convert(updated[-1], GrantUpdated)
    assert (last.grant, last.limit, last.max_per_charge, last.sequence) == (grant.id, "3", "1", 3)


async def test_a_grant_whose_time_is_over_begins_anew_under_its_id(oauth: Any) -> None:
    app, _ = await oauth.app()
    browser = oauth.people.sign_in()
    end = {"expires_at": "2026-01-15T13:00"}
    await oauth.authorize(app, "openid", "charge", browser=browser, form=end)
    [before] = await _grants(oauth)
    oauth.clock.advance(3600)
    browser = (oauth.people.sign_in()[0], browser[1])
    oauth.people.sessions[browser[0]] = browser[1]
    _, page = await _page(oauth, app, browser[0], "openid")
    assert _fields(page) == {}
    await oauth.authorize(app, "openid", browser=browser)
    [grant] = await _grants(oauth)
    assert (grant.id, grant.scopes, grant.spending) == (before.id, ("openid",), Spending())


async def test_an_app_that_was_disabled_meanwhile_gets_nothing(oauth: Any) -> None:
    app, _ = await oauth.app()
    token, session = oauth.people.sign_in()
    path, _ = await _page(oauth, app, token)
    await oauth.rows("UPDATE apps SET disabled_at = now(), disabled_by = 'owner'")
    assert (await oauth.visit(path, token)).status_code == 400
    assert (await oauth.decide(path, token, session.csrf)).status_code == 400
    assert await _grants(oauth) == []


async def test_the_page_says_who_asks_and_nothing_of_it_is_markup(oauth: Any) -> None:
    owner, _ = oauth.people.sign_in("dev@cards.example")
    person = oauth.people.sessions[owner]
    own, _ = await oauth.app()
    await oauth.authorize(own, browser=(owner, person))
    app, _ = await oauth.app(
        name="<b>Cards</b> & {config}",
        homepage="https://cards.example/",
        description="<img src=x>",
        owner=person.user,
        owner_account=person.account,
    )
    token, _ = oauth.people.sign_in()
    for languages, title in (("en", "asks for access"), ("zh-CN,zh;q=0.9", "请求访问您的账户")):
        asked = await oauth.visit("/oauth/authorize", token, params=oauth.question(app, "charge", "email"))
        headers = {"accept-language": languages}
        page = (await oauth.visit(asked.headers["location"], token, headers=headers)).text
        assert title in page
        assert "&lt;b&gt;Cards&lt;/b&gt; &amp; {config}" in page
        assert "dev@cards.example" in page
        assert "cards.example" in page
        assert "<b>" not in page
        assert "<img" not in page
