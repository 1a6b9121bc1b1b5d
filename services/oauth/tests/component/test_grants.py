"""Grants as people see, bound and end them, and as the owner of an app sees them."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from common.contracts.oauth import GrantRevoked, GrantUpdated, OAuthEvent
from common.contracts.spenders import SPENDERS_READ, SpendersRead, SpendersState, SpenderUse
from common.kit.ids import uuid7
from common.kit.rpc import RpcServer
from common.kit.telemetry import Telemetry
from oauth.domain.grants import Person, Spending
from oauth.domain.subjects import pairwise_subject

GRANTS = "/api/oauth/grants"
USERINFO = "/oauth/userinfo"
FIVE = Spending(5_000_000_000, "month", "Europe/Rome", 500_000_000)


class Given:
    """A person who allowed an app something, its tokens, and who may ask about it."""

    def __init__(self, oauth: Any, app: Any, secret: str, tokens: dict[str, Any], person: Person) -> None:
        self.oauth = oauth
        self.app = app
        self.secret = secret
        self.tokens = tokens
        self.person = person
        self.ann = oauth.owner(person.user, person.account)

    async def grant(self) -> dict[str, Any]:
        """The only grant of the person, as it is listed."""
        answer = await self.oauth.http.get(GRANTS, headers=self.ann)
        assert answer.status_code == 200, answer.text
        [only] = answer.json()["data"]
        found: dict[str, Any] = only
        return found

    async def status(self, http: Any = None) -> int:
        """What a resource answers to the access token."""
        headers = {"authorization": f"Bearer {self.tokens['access_token']}"}
        answer = await (http or self.oauth.http).get(USERINFO, headers=headers)
        return int(answer.status_code)

    async def refresh(self) -> Any:
        """The token endpoint's answer to the refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        return await self.oauth.ask("/oauth/token", self.app, self.secret, **form)


async def _given(oauth: Any, *scopes: str, owner: str | None = None) -> Given:
    person = Person(uuid7(), uuid7(), "ann@example.com")
    app, secret = await oauth.app(owner=owner, owner_account=owner and uuid7())
    wanted = scopes or ("openid", "charge", "offline_access")
    tokens = await oauth.tokens(app, secret, *wanted, person=person, spending=FIVE)
    return Given(oauth, app, secret, tokens, person)


async def _events(oauth: Any) -> "asyncio.Queue[Any]":
    heard: asyncio.Queue[Any] = asyncio.Queue()
    decoder = msgspec.json.Decoder(OAuthEvent)

    async def on_event(message: Any) -> None:
        heard.put_nowait(decoder.decode(message.data))

    await oauth.bus.subscribe("oauth.grant.>", on_event)
    return heard


async def test_people_see_what_they_allowed_whom(oauth: Any) -> None:
    given = await _given(oauth)
    grant = await given.grant()
    now = oauth.clock.now().isoformat().replace("+00:00", "Z")
    expected = {
        "app": given.app.client_id,
        "app_name": "Cards",
        "app_disabled": False,
        "user": given.person.user,
        "sub": pairwise_subject(oauth.digester, given.app.client_id, given.person.user),
        "scopes": ["openid", "charge", "offline_access"],
        "limit": "5",
        "period": "month",
        "timezone": "Europe/Rome",
        "max_per_charge": "0.5",
        "expires_at": None,
        "used_at": now,
        "revoked_at": None,
    }
    assert expected.items() <= grant.items()
    assert (await oauth.http.get(f"{GRANTS}/{grant['id']}", headers=given.ann)).json() == grant


async def test_what_was_spent_is_the_ledgers_word_on_the_window_that_counts(oauth: Any) -> None:
    given = await _given(oauth)
    grant = await given.grant()
    assert (grant["spent"], grant["remaining"]) == (None, None)
    use = SpenderUse(grant["id"], "month", "Europe/Rome", 1_200_000_000, 300_000_000)
    ledger = RpcServer(oauth.bus, "billing", Telemetry("test", "test-0", "", 0.0))

    async def read(request: SpendersRead) -> SpendersState:
        return SpendersState((use,) if use.spender in request.spenders else ())

    ledger.add(SPENDERS_READ, read)
    await ledger.start()
    oauth.stack.push_async_callback(ledger.stop)
    grant = await given.grant()
    assert (grant["spent"], grant["remaining"]) == ("1.5", "3.5")
    path = f"{GRANTS}/{grant['id']}"
    lower = (await oauth.http.patch(path, json={"limit": "1"}, headers=given.ann)).json()
    assert (lower["spent"], lower["remaining"]) == ("1.5", "0")
    anew = (await oauth.http.patch(path, json={"period": "week"}, headers=given.ann)).json()
    assert (anew["spent"], anew["remaining"]) == ("0", "1")


async def test_another_persons_grant_is_none(oauth: Any) -> None:
    given = await _given(oauth)
    bob, admin = oauth.owner(), oauth.owner(None, None, "admin")
    path = f"{GRANTS}/{(await given.grant())['id']}"
    answers = [
        await oauth.http.get(path, headers=bob),
        await oauth.http.patch(path, json={"limit": "9"}, headers=bob),
        await oauth.http.delete(path, headers=bob),
        await oauth.http.patch(path, json={"limit": "9"}, headers=admin),
        await oauth.http.get(f"{GRANTS}/{uuid7()}", headers=bob),
        await oauth.http.get(f"{GRANTS}/x", headers=bob),
    ]
    assert {answer.status_code for answer in answers} == {404}
    params = {"user": given.person.user}
    assert (await oauth.http.get(GRANTS, params=params, headers=bob)).status_code == 403
    assert len((await oauth.http.get(GRANTS, params=params, headers=admin)).json()["data"]) == 1
    assert await given.status() == 200


async def test_an_app_reaches_no_grant_by_token_or_principal(oauth: Any) -> None:
    given = await _given(oauth)
    path = f"{GRANTS}/{(await given.grant())['id']}"
    bearer = {"authorization": f"Bearer {given.tokens['access_token']}"}
    for headers, status in ((bearer, 401), (oauth.grantee(), 403)):
        for method, target, body in (
            ("GET", GRANTS, None),
            ("GET", path, None),
            ("PATCH", path, {"limit": "100"}),
            ("DELETE", path, None),
            ("GET", f"/api/oauth/apps/{given.app.client_id}/grants", None),
        ):
            answer = await oauth.http.request(method, target, json=body, headers=headers)
            assert answer.status_code == status, (method, target)
    assert (await given.grant())["limit"] == "5"


async def test_what_is_entered_is_what_counts(oauth: Any) -> None:
    given, heard = await _given(oauth), await _events(oauth)
    path = f"{GRANTS}/{(await given.grant())['id']}"
    body = {"limit": "2.50", "max_per_charge": None, "expires_at": "2027-01-01T00:00:00Z"}
    changed = await oauth.http.patch(path, json=body, headers=given.ann)
    assert changed.status_code == 200, changed.text
    assert changed.json()["limit"] == "2.5"
    assert changed.json()["max_per_charge"] is None
    [row] = await oauth.rows("SELECT limit_nano, max_charge_nano, expires_at FROM grants")
    assert (row["limit_nano"], row["max_charge_nano"], row["expires_at"].year) == (2_500_000_000, None, 2027)
    event = await asyncio.wait_for(heard.get(), 5)
    assert isinstance(event, GrantUpdated)
    assert (event.limit, event.app, event.max_per_charge) == ("2.5", given.app.client_id, None)
    oauth.clock.advance(timedelta(days=400).total_seconds())
    assert await given.status() == 401


async def test_bounds_that_cannot_be_are_refused_and_change_nothing(oauth: Any) -> None:
    given = await _given(oauth)
    before = await given.grant()
    path = f"{GRANTS}/{before['id']}"
    for body in (
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "1e3"},
        {"limit": "0.0000000001"},
        {"limit": "1000000.01"},
        {"limit": 5},
        {"limit": None},
        {"limit": "0.4"},
        {"max_per_charge": "6"},
        {"max_per_charge": "0"},
        {"period": "year"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2027-01-01T00:00:00"},
        {"scopes": ["relay"]},
    ):
        answer = await oauth.http.patch(path, json=body, headers=given.ann)
        assert answer.status_code == 400, (body, answer.text)
    assert await given.grant() == before
    plain = await _given(oauth, "openid")
    free = f"{GRANTS}/{(await plain.grant())['id']}"
    assert (await oauth.http.patch(free, json={"limit": "1"}, headers=plain.ann)).status_code == 409


async def test_revoked_is_refused_on_every_replica_at_once(bare_oauth: Any) -> None:
    replicas = [await bare_oauth.start_replica() for _ in range(2)]
    given, heard = await _given(bare_oauth), await _events(bare_oauth)
    path = f"{GRANTS}/{(await given.grant())['id']}"
    assert [await given.status(replica) for replica in replicas] == [200, 200]
    ended = await asyncio.gather(*(replicas[n % 2].delete(path, headers=given.ann) for n in range(4)))
    assert {answer.status_code for answer in ended} == {204}
    assert [await given.status(replica) for replica in replicas] == [401, 401]
    assert (await given.refresh()).json()["error"] == "invalid_grant"
    event = await asyncio.wait_for(heard.get(), 5)
    assert isinstance(event, GrantRevoked)
    assert (event.by, event.account) == ("user", given.person.account)
    [told] = await bare_oauth.rows("SELECT event_sequence FROM people")
    assert told["event_sequence"] == event.sequence == 1
    listed = (await bare_oauth.http.get(GRANTS, params={"ended": "true"}, headers=given.ann)).json()["data"]
    assert [grant["revoked_by"] for grant in listed] == ["user"]
    assert (await bare_oauth.http.get(GRANTS, headers=given.ann)).json()["data"] == []
    assert (await bare_oauth.http.patch(path, json={"limit": "9"}, headers=given.ann)).status_code == 409


async def test_a_grant_given_again_does_not_bring_old_tokens_back(oauth: Any) -> None:
    given = await _given(oauth)
    await oauth.http.delete(f"{GRANTS}/{(await given.grant())['id']}", headers=given.ann)
    again = await oauth.tokens(given.app, given.secret, "openid", person=given.person)
    assert await given.status() == 401
    given.tokens = again
    assert await given.status() == 200


async def test_the_owner_of_an_app_sees_names_of_its_own_only(oauth: Any) -> None:
    owner = uuid7()
    given = await _given(oauth, owner=owner)
    carl = oauth.owner(owner)
    path = f"/api/oauth/apps/{given.app.client_id}/grants"
    answer = await oauth.http.get(path, headers=carl)
    [grant] = answer.json()["data"]
    assert grant["sub"] == pairwise_subject(oauth.digester, given.app.client_id, given.person.user)
    for secret in (given.person.user, given.person.account, given.person.email):
        assert secret not in answer.text
    for other in (given.ann, oauth.owner()):
        assert (await oauth.http.get(path, headers=other)).status_code == 404
        assert (await oauth.http.delete(f"{path}/{grant['id']}", headers=other)).status_code == 404
    strange = await _given(oauth)
    foreign = (await strange.grant())["id"]
    assert (await oauth.http.delete(f"{path}/{foreign}", headers=carl)).status_code == 404
    assert (await oauth.http.delete(f"{path}/{grant['id']}", headers=carl)).status_code == 204
    assert await given.status() == 401
    [row] = await oauth.rows("SELECT revoked_by FROM grants WHERE revoked_at IS NOT NULL")
    assert row["revoked_by"] == "owner"


async def test_the_operator_may_end_any_grant(oauth: Any) -> None:
    given = await _given(oauth)
    admin = oauth.owner(None, None, "admin")
    assert (
        await oauth.http.delete(f"{GRANTS}/{(await given.grant())['id']}", headers=admin)
    ).status_code == 204
    assert await given.status() == 401
    [row] = await oauth.rows("SELECT revoked_by FROM grants")
    assert row["revoked_by"] == "operator"


async def test_a_disabled_app_is_refused_everywhere_and_works_again_when_enabled(oauth: Any) -> None:
    owner = uuid7()
    given = await _given(oauth, owner=owner)
    carl, path = oauth.owner(owner), f"/api/oauth/apps/{given.app.client_id}"
    await oauth.http.post(f"{path}/disable", headers=carl)
    assert await given.status() == 401
    assert (await given.refresh()).status_code in (400, 401)
    assert (await given.grant())["app_disabled"] is True
    await oauth.http.post(f"{path}/enable", headers=carl)
    assert await given.status() == 200
