"""The page of a person's apps: theirs alone, by their session alone."""

from typing import Any

from common.kit.ids import uuid7
from oauth.domain.grants import Person, Spending

PAGE = "/oauth/apps"
USERINFO = "/oauth/userinfo"


class Connected:
    """Somebody who is signed in and allowed an app something."""

    def __init__(self, oauth: Any, token: str, session: Any, tokens: dict[str, Any]) -> None:
        self.oauth = oauth
        self.token = token
        self.session = session
        self.tokens = tokens

    async def show(self, language: str = "en", query: str = "") -> str:
        """The page."""
        headers = {"accept-language": language}
        answer = await self.oauth.visit(PAGE + query, self.token, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    async def remove(self, grant: str, csrf: str | None = None) -> Any:
        """The answer to the form."""
        form = {"csrf": self.session.csrf if csrf is None else csrf, "grant": grant}
        headers = {"cookie": f"tollway_session={self.token}"}
        return await self.oauth.http.post(PAGE, data=form, headers=headers)

    async def status(self) -> int:
        """What a resource answers to the app's token."""
        headers = {"authorization": f"Bearer {self.tokens['access_token']}"}
        return int((await self.oauth.http.get(USERINFO, headers=headers)).status_code)

    async def grant(self) -> str:
        """The id of the person's only grant."""
        [row] = await self.oauth.rows("SELECT id FROM grants WHERE user_id = $1", self.session.user)
        return str(row["id"])


async def _connected(oauth: Any, **fields: Any) -> Connected:
    token, session = oauth.people.sign_in()
    person = Person(session.user, session.account, session.email)
    app, secret = await oauth.app(**fields)
    spending = Spending(2_500_000_000, "month", "Europe/Rome", 500_000_000)
    tokens = await oauth.tokens(app, secret, "openid", "charge", person=person, spending=spending)
    return Connected(oauth, token, session, tokens)


async def test_people_see_each_app_what_it_may_and_up_to_how_much(oauth: Any) -> None:
    ann = await _connected(oauth, name="Card <b>Table</b>", homepage="https://cards.example/about")
    page = await ann.show()
    for text in (
        "Card &lt;b&gt;Table&lt;/b&gt;",
        "cards.example",
        "Charge your balance",
        "up to 2.5 USD a month",
        "at most 0.5 USD at once",
        ann.session.email,
    ):
        assert text in page, text
    assert "<b>" not in page
    assert ann.tokens["access_token"] not in page
    chinese = await ann.show("zh-CN,zh;q=0.9")
    assert '<html lang="zh">' in chinese
    assert "每月最多 2.5 美元" in chinese


async def test_without_apps_the_page_says_so(oauth: Any) -> None:
    token, _ = oauth.people.sign_in()
    assert "No app has access" in (await oauth.visit(PAGE, token)).text


async def test_who_is_not_signed_in_signs_in_first(oauth: Any) -> None:
    for answer in (
        await oauth.visit(PAGE),
        await oauth.visit(PAGE, "x" * 40),
        await oauth.http.post(PAGE, data={"csrf": "", "grant": uuid7()}),
    ):
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=%2Foauth%2Fapps"


async def test_no_key_and_no_token_opens_the_page(oauth: Any) -> None:
    ann = await _connected(oauth)
    bearer = {"authorization": f"Bearer {ann.tokens['access_token']}"}
    key = oauth.owner(ann.session.user, ann.session.account)
    for headers in (bearer, key, oauth.grantee()):
        assert (await oauth.http.get(PAGE, headers=headers)).status_code == 303
        form = {"csrf": ann.session.csrf, "grant": await ann.grant()}
        assert (await oauth.http.post(PAGE, data=form, headers=headers)).status_code == 303
    assert await ann.status() == 200


async def test_a_removed_app_is_refused_at_once_and_the_page_says_so(oauth: Any) -> None:
    ann = await _connected(oauth)
    removed = await ann.remove(await ann.grant())
    assert (removed.status_code, removed.headers["location"]) == (303, f"{PAGE}?removed=true")
    assert await ann.status() == 401
    page = await ann.show(query="?removed=true")
    assert "was removed" in page
    assert "No app has access" in page
    [row] = await oauth.rows("SELECT revoked_by FROM grants")
    assert row["revoked_by"] == "user"
    assert (await ann.remove(await ann.grant())).status_code == 303


async def test_a_form_from_elsewhere_removes_nothing(oauth: Any) -> None:
    ann, bob = await _connected(oauth), await _connected(oauth)
    for csrf in ("", "guess", bob.session.csrf):
        assert (await ann.remove(await ann.grant(), csrf)).status_code in (400, 403)
    assert await ann.status() == 200


async def test_another_persons_grant_cannot_be_removed(oauth: Any) -> None:
    ann, bob = await _connected(oauth), await _connected(oauth)
    for grant in (await bob.grant(), uuid7(), "x", ""):
        answer = await ann.remove(grant)
        assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert await bob.status() == 200
    assert bob.session.user not in await ann.show()


async def test_what_stands_still_is_told(oauth: Any) -> None:
    ann = await _connected(oauth)
    await oauth.rows("UPDATE grants SET expires_at = '2026-01-01'")
    assert "is over" in await ann.show()
    await oauth.rows("UPDATE apps SET disabled_at = now(), disabled_by = 'operator'")
    assert "switched off" in await ann.show()


async def test_many_apps_are_shown_page_by_page(oauth: Any) -> None:
    ann = await _connected(oauth)
    person = Person(ann.session.user, ann.session.account, ann.session.email)
    for number in range(50):
        app, _ = await oauth.app(name=f"App {number:02}")
        await oauth.code(app, "openid", person=person)
    first = await ann.show()
    assert "App 48" in first
    assert "App 49" not in first
    query = first.partition('href="/oauth/apps')[2].partition('"')[0]
    assert "App 49" in await ann.show(query=query)
    assert (await oauth.visit(f"{PAGE}?after=x", ann.token)).status_code == 400
