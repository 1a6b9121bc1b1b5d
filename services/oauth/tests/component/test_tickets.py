"""Tickets of people who are not signed in yet: in their own address, sealed, and stored by nobody."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

TABLES = """
    SELECT (SELECT count(*) FROM authorization_requests), (SELECT count(*) FROM used_proofs),
        (SELECT count(*) FROM grants), (SELECT count(*) FROM codes)
"""


async def counts(oauth: Any) -> tuple[int, ...]:
    """Rows of waiting requests, of what is used, of grants, of codes."""
    return tuple((await oauth.rows(TABLES))[0])


async def ticket(oauth: Any, app: Any, **changed: str) -> str:
    """The page's path as a browser without a session is told it."""
    asked = await oauth.visit("/oauth/authorize", params=oauth.question(app, "charge", **changed))
    assert asked.status_code == 303, asked.text
    return str(asked.headers["location"])


async def test_ten_thousand_requests_of_nobody_leave_nothing(oauth: Any) -> None:
    app, _ = await oauth.app()
    authorizations, question = oauth.state.authorizations, oauth.question(app, "charge")
    for _ in range(100):
        paths = await asyncio.gather(*(authorizations.authorize(question, None) for _ in range(100)))
        assert len(set(paths)) == 100
    path = await ticket(oauth, app)
    answer = await oauth.visit(path)
    assert answer.headers["location"] == f"/login?next={quote(path, safe='')}"
    assert await counts(oauth) == (0, 0, 0, 0)


async def test_who_then_signs_in_decides_at_another_replica(oauth: Any) -> None:
    app, _ = await oauth.app()
    state = "状" * 3_000
    path = await ticket(oauth, app, state=state)
    await oauth.start_replica()
    oauth.clock.advance(14 * 60)
    token, session = oauth.people.sign_in()
    page = await oauth.visit(path, token)
    assert page.status_code == 200, page.text
    assert (await counts(oauth))[:2] == (1, 1)
    answer = await oauth.decide(path, token, session.csrf)
    told = parse_qs(urlsplit(answer.headers["location"]).query)
    assert told["state"] == [state]
    assert "code" in told
    for _ in range(2):
        assert (await oauth.visit(path, token)).status_code == 410
        assert (await oauth.decide(path, token, session.csrf)).status_code == 410
    assert (await counts(oauth))[2:] == (1, 1)


async def test_of_many_who_come_with_one_address_at_once_one_decides(oauth: Any) -> None:
    app, _ = await oauth.app()
    path = await ticket(oauth, app)
    token, session = oauth.people.sign_in()
    replicas = (oauth.http, await oauth.start_replica())

    async def come(client: httpx.AsyncClient) -> httpx.Response:
        oauth.http = client
        await oauth.visit(path, token)
        oauth.http = client
        answer: httpx.Response = await oauth.decide(path, token, session.csrf)
        return answer

    answers = await asyncio.gather(*(come(replicas[number % 2]) for number in range(50)))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 49
    assert (await counts(oauth))[2:] == (1, 1)


@pytest.mark.parametrize("change", ["later", "bit", "cut", "other", "text"])
async def test_an_address_that_is_old_or_was_changed_opens_nothing(oauth: Any, change: str) -> None:
    app, _ = await oauth.app()
    path = await ticket(oauth, app)
    head, _, sealed = path.partition("sealed.")
    middle = len(sealed) // 2
    if change == "later":
        oauth.clock.advance(15 * 60)
    wrong = {
        "later": sealed,
        "bit": sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :],
        "cut": sealed[:10],
        "other": "",
        "text": "状%21",
    }[change]
    token, session = oauth.people.sign_in()
    assert (await oauth.visit(f"{head}sealed.{wrong}")).status_code == 410
    assert (await oauth.visit(f"{head}sealed.{wrong}", token)).status_code == 410
    assert (await oauth.decide(f"{head}sealed.{wrong}", token, session.csrf)).status_code == 410
    assert await counts(oauth) == (0, 0, 0, 0)


async def test_nothing_of_the_request_can_be_read_from_the_address(oauth: Any) -> None:
    app, _ = await oauth.app()
    path = await ticket(oauth, app, state="a-secret-of-the-app", login_hint="ann@example.com")
    assert "secret" not in path
    assert app.client_id not in path
    assert path != await ticket(oauth, app, state="a-secret-of-the-app", login_hint="ann@example.com")
    token, session = oauth.people.sign_in()
    answer = await oauth.decide(path, token, session.csrf)  # a form without its page
    assert answer.status_code == 410


async def test_what_was_used_is_forgotten_with_its_time(oauth: Any) -> None:
    app, _ = await oauth.app()
    path = await ticket(oauth, app)
    token, _ = oauth.people.sign_in()
    assert (await oauth.visit(path, token)).status_code == 200
    oauth.clock.advance(15 * 60 + 1)
    await oauth.store.prune(oauth.clock.now())
    assert (await counts(oauth))[:2] == (0, 0)
