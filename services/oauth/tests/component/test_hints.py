"""`id_token_hint`: the app says which person it wants (OpenID Connect Core section 3.1.2.1)."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from common.kit.ids import uuid7
from oauth.domain.grants import Person


class Signed:
    """Somebody who allowed the app to sign them in, in a session, with the ID token that the app got."""

    def __init__(self, oauth: Any, app: Any, secret: str) -> None:
        self.oauth, self.app, self.secret = oauth, app, secret
        self.token, self.session = oauth.people.sign_in()
        self.id_token = ""

    async def open(self) -> "Signed":
        code = await self.oauth.authorize(self.app, "openid", browser=(self.token, self.session))
        told = (await self.oauth.redeem(self.app, self.secret, code)).json()
        self.id_token = told["id_token"]
        return self

    def sign_in_again(self) -> None:
        """The same person, in another session."""
        self.token, fresh = self.oauth.people.sign_in()
        person = {"user": self.session.user, "account": self.session.account}
        self.session = msgspec.structs.replace(fresh, **person)
        self.oauth.people.sessions[self.token] = self.session


async def _signed(oauth: Any, app: Any, secret: str) -> Signed:
    return await Signed(oauth, app, secret).open()


async def _ask(oauth: Any, app: Any, hint: str, token: str = "", **parameters: str) -> httpx.Response:
    question = oauth.question(app, id_token_hint=hint, **parameters)
    answer: httpx.Response = await oauth.visit("/oauth/authorize", token, params=question)
    return answer


def _told(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def test_the_person_of_the_hint_goes_on_and_another_does_not_without_a_page(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann, bob = [await _signed(oauth, app, secret) for _ in range(2)]
    answer = await _ask(oauth, app, ann.id_token, ann.token, prompt="none")
    assert "code" in _told(answer.headers["location"])
    for token in (bob.token, ""):
        answer = await _ask(oauth, app, ann.id_token, token, prompt="none")
        assert _told(answer.headers["location"])["error"] == "login_required"


async def test_another_person_is_asked_to_sign_in_and_the_one_of_the_hint_then_goes_on(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann, bob = [await _signed(oauth, app, secret) for _ in range(2)]
    page = (await _ask(oauth, app, ann.id_token, bob.token, scope="openid email")).headers["location"]
    for _ in range(2):
        location = (await oauth.visit(page, bob.token)).headers["location"]
        assert _told(location) == {"next": page, "again": "true"}
    assert (await oauth.decide(page, bob.token, bob.session.csrf)).status_code == 410
    page = (await _ask(oauth, app, ann.id_token, bob.token, scope="openid email")).headers["location"]
    ann.sign_in_again()
    assert (await oauth.visit(page, ann.token)).status_code == 200
    decided = await oauth.decide(page, ann.token, ann.session.csrf)
    assert "code" in _told(decided.headers["location"])


async def test_who_signs_in_for_it_as_somebody_else_leads_the_app_to_a_login_required(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann, bob = [await _signed(oauth, app, secret) for _ in range(2)]
    for before in ("", bob.token):
        page = (await _ask(oauth, app, ann.id_token, before, state="s1")).headers["location"]
        bob.sign_in_again()
        shown = await oauth.visit(page, bob.token)
        assert shown.status_code == 200
        assert "error=login_required" in shown.text
        assert "state=s1" in shown.text
        assert (await oauth.visit(page, bob.token)).status_code == 410
        assert (await oauth.decide(page, bob.token, bob.session.csrf)).status_code == 410


async def test_a_hint_that_expired_counts_and_comes_pushed_as_well(oauth: Any) -> None:
    app, secret = await oauth.app()
    ann = await _signed(oauth, app, secret)
    oauth.clock.advance(86_400)
    ann.sign_in_again()
    form = oauth.question(app, id_token_hint=ann.id_token, prompt="none")
    form.pop("client_id")
    pushed = (await oauth.ask("/oauth/par", app, secret, **form)).json()
    asked = {"client_id": app.client_id, "request_uri": pushed["request_uri"]}
    answer = await oauth.visit("/oauth/authorize", ann.token, params=asked)
    assert "code" in _told(answer.headers["location"])


async def test_what_is_no_id_token_of_ours_for_the_app_is_refused(oauth: Any) -> None:
    app, secret = await oauth.app()
    other, own = await oauth.app()
    ann = await _signed(oauth, app, secret)
    foreign = await _signed(oauth, other, own)
    head, claims, signature = ann.id_token.split(".")
    _, others, _ = foreign.id_token.split(".")
    person = Person(uuid7(), uuid7(), "ann@example.com")
    access = (await oauth.tokens(app, secret, "openid", person=person))["access_token"]
    forged = (f"{head}.{others}.{signature}", f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}.")
    for hint in (foreign.id_token, *forged, access, "x", "a.b.c", "é", "x" * 4097):
        answer = await _ask(oauth, app, hint, ann.token)
        assert _told(answer.headers["location"])["error"] == "invalid_request", hint
