"""Codes and refresh tokens that come together are exchanged together: each gets its own, and only its own."""

import asyncio
from typing import Any

import httpx

from common.kit.ids import uuid7
from oauth.domain.grants import Person
from oauth.domain.subjects import pairwise_subject

VERIFIER = "verifier-of-the-tests-of-at-least-43-characters"


class Asker:
    """An app's person with a code, and what the app should get for it."""

    def __init__(self, oauth: Any, app: Any, secret: str, *scopes: str) -> None:
        self.oauth, self.app, self.secret, self.scopes = oauth, app, secret, scopes
        self.person = Person(uuid7(), uuid7(), "ann@example.com")
        self.held = ""

    async def open(self) -> "Asker":
        self.held = await self.oauth.code(self.app, *self.scopes, person=self.person)
        return self

    async def redeem(self, http: Any = None, **changed: str) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": self.held, "code_verifier": VERIFIER}
        return await self._ask(http, form | changed)

    async def renew(self, http: Any = None, **changed: str) -> httpx.Response:
        return await self._ask(http, {"grant_type": "refresh_token", "refresh_token": self.held} | changed)

    async def check(self, answer: httpx.Response) -> None:
        """It is the app's, for the person, with the scopes that were asked."""
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["scope"] == " ".join(self.scopes)
        for name in ("access_token", "refresh_token"):
            seen = (await self.oauth.ask("/oauth/introspect", self.app, self.secret, token=told[name])).json()
            assert seen["sub"] == pairwise_subject(self.oauth.digester, self.app.client_id, self.person.user)
        self.held = told["refresh_token"]

    async def _ask(self, http: Any, form: dict[str, str]) -> httpx.Response:
        own = {"client_id": self.app.client_id, "client_secret": self.secret}
        answer: httpx.Response = await (http or self.oauth.http).post("/oauth/token", data=own | form)
        return answer


def _error(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    error: str = answer.json()["error"]
    return error


async def _askers(oauth: Any, count: int) -> list[Asker]:
    apps = [await oauth.app() for _ in range(3)]
    scopes = (("relay", "offline_access"), ("charge",), ("balance", "charge", "relay"))
    askers = [Asker(oauth, *apps[number % 3], *scopes[number % 2]) for number in range(count)]
    return [await asker.open() for asker in askers]


async def test_many_at_once_each_get_their_own(oauth: Any) -> None:
    askers = await _askers(oauth, 24)
    for ask in (Asker.redeem, Asker.renew, Asker.renew):
        answers = await asyncio.gather(*(ask(asker) for asker in askers))
        given = {token for answer in answers for token in (answer.json()["access_token"],)}
        assert len(given) == len(askers)
        for asker, answer in zip(askers, answers, strict=True):
            await asker.check(answer)


async def test_a_wrong_one_among_many_spoils_nothing_for_the_others(oauth: Any) -> None:
    askers = await _askers(oauth, 12)
    wrong = (
        (askers[0].redeem(code_verifier="x" * 43), "invalid_grant"),
        (askers[1].redeem(code="toc_unknown"), "invalid_grant"),
        (askers[2].redeem(code=askers[3].held), "invalid_grant"),
        (askers[4].redeem(redirect_uri="https://evil.example"), "invalid_grant"),
    )
    answers = await asyncio.gather(*(ask for ask, _ in wrong), *(asker.redeem() for asker in askers[5:]))
    assert [_error(answer) for answer in answers[:4]] == [error for _, error in wrong]
    for asker, answer in zip(askers[5:], answers[4:], strict=True):
        await asker.check(answer)
    await askers[3].check(await askers[3].redeem())
    narrowed = askers[5].renew(scope="openid")
    unknown, right = askers[6].renew(refresh_token="tor_x"), askers[7].renew()
    wider, wrong_one, renewed = await asyncio.gather(narrowed, unknown, right)
    assert [_error(answer) for answer in (wider, wrong_one)] == ["invalid_scope", "invalid_grant"]
    await askers[7].check(renewed)
    await askers[5].check(await askers[5].renew())


async def test_the_same_codes_in_opposite_order_on_two_replicas_count_once_each(bare_oauth: Any) -> None:
    oauth = bare_oauth
    replicas = [await oauth.start_replica(), await oauth.start_replica()]
    askers = await _askers(oauth, 20)
    there = [asker.redeem(replicas[0]) for asker in askers]
    back = [asker.redeem(replicas[1]) for asker in reversed(askers)]
    answers = await asyncio.gather(*(ask for pair in zip(there, back, strict=True) for ask in pair))
    firsts, seconds = answers[::2], answers[1::2][::-1]
    for first, second in zip(firsts, seconds, strict=True):
        assert sorted((first.status_code, second.status_code)) == [200, 400]
    assert len(await oauth.rows("SELECT 1 FROM access_tokens")) == 20
    assert len(await oauth.rows("SELECT 1 FROM families WHERE revoked_at IS NOT NULL")) == 20


async def test_what_cannot_be_stored_uses_nothing_up(oauth: Any) -> None:
    askers = await _askers(oauth, 4)
    await oauth.rows("ALTER TABLE access_tokens RENAME TO away")
    answers = await asyncio.gather(*(asker.redeem() for asker in askers))
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {(500, "server_error")}
    await oauth.rows("ALTER TABLE away RENAME TO access_tokens")
    for asker in askers:
        await asker.check(await asker.redeem())
