"""Apps as their owners and the operator register, change and end them."""

import asyncio
from typing import Any

import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey

from common.contracts.errors import ServiceError
from common.contracts.oauth import TOKEN_CHECK, AppDisabled, AppNarrowed, OAuthEvent, TokenCheck
from common.kit.ids import uuid7
from oauth.domain.tokens import Digester
from oauth.registry.domain.apps import MOST_APPS

PATH = "/api/oauth/apps"
CARDS = {"name": "Cards", "redirect_uris": ["https://cards.example/back"], "scopes": ["openid", "charge"]}


async def _create(oauth: Any, who: dict[str, str], **said: Any) -> dict[str, Any]:
    answer = await oauth.http.post(PATH, json=CARDS | said, headers=who)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_an_app_is_registered_and_its_secret_seen_once(oauth: Any) -> None:
    ann = oauth.owner()
    created = await _create(oauth, ann, description="Pictures", homepage="https://cards.example/")
    secret = created.pop("client_secret")
    assert secret.startswith("tos_")
    assert created["client_id"].startswith("app_")
    assert created | {"fee": "0", "secrets": 1, "auth_method": "client_secret_basic"} == created
    read = await oauth.http.get(f"{PATH}/{created['client_id']}", headers=ann)
    assert read.json() == created
    listed = (await oauth.http.get(PATH, headers=ann)).json()
    assert listed == {"data": [created], "next": None}
    [row] = await oauth.rows("SELECT secrets FROM apps")
    assert row["secrets"] == [Digester("pepper-for-the-tests").digest(secret)]


async def test_an_app_without_a_secret_is_given_none(oauth: Any) -> None:
    ann = oauth.owner()
    created = await _create(oauth, ann, auth_method="none", redirect_uris=["com.example.cards:/back"])
    assert created["client_secret"] is None
    assert created["secrets"] == 0
    rotated = await oauth.http.post(f"{PATH}/{created['client_id']}/secrets", headers=ann)
    assert rotated.status_code == 409


async def test_another_persons_app_is_none(oauth: Any) -> None:
    created = await _create(oauth, oauth.owner())
    bob = oauth.owner()
    path = f"{PATH}/{created['client_id']}"
    answers = [
        await oauth.http.get(path, headers=bob),
        await oauth.http.patch(path, json={"name": "Mine"}, headers=bob),
        await oauth.http.delete(path, headers=bob),
        await oauth.http.post(f"{path}/secrets", headers=bob),
        await oauth.http.delete(f"{path}/secrets/previous", headers=bob),
        await oauth.http.post(f"{path}/disable", headers=bob),
        await oauth.http.post(f"{path}/enable", headers=bob),
        await oauth.http.get(f"{PATH}/nothing", headers=bob),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert (await oauth.http.get(PATH, headers=bob)).json()["data"] == []
    assert (await oauth.http.get(PATH, params={"all": "true"}, headers=bob)).status_code == 403


async def test_nobody_comes_without_the_gateway_or_as_an_app(oauth: Any) -> None:
    for headers in ({}, {"x-tollway-principal": "k1.e30.AAAA"}, {"authorization": "Bearer toa_x"}):
        assert (await oauth.http.get(PATH, headers=headers)).status_code == 401
    assert (await oauth.http.get(PATH, headers=oauth.grantee())).status_code == 403
    assert (await oauth.http.post(PATH, json=CARDS, headers=oauth.grantee())).status_code == 403


WRONG: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", "   "),
    ("name", "x" * 61),
    ("name", "Cards\u202eknaB"),
    ("name", "Cards\u200b"),
    ("name", "Ca\nrds"),
    ("name", None),
    ("description", "x" * 501),
    ("description", "\u0007"),
    ("homepage", "http://cards.example/"),
    ("homepage", "javascript:alert(1)"),
    ("redirect_uris", []),
    ("redirect_uris", "https://cards.example/"),
    ("redirect_uris", ["http://cards.example/"]),
    ("auth_method", "client_secret_jwt"),
    ("scopes", []),
    ("scopes", ["everything"]),
    ("scopes", ["management_token"]),
    ("jwks", {"keys": []}),
    ("require_par", "yes"),
    ("client_id", "mine"),
    ("owner", uuid7()),
    ("secrets", ["x"]),
]


async def test_a_field_that_cannot_be_is_named(oauth: Any) -> None:
    who = oauth.owner()
    for field, value in WRONG:
        answer = await oauth.http.post(PATH, json=CARDS | {field: value}, headers=who)
        assert answer.status_code == 400, (field, value, answer.text)
        assert field in answer.text
    assert await oauth.rows("SELECT 1 FROM apps") == []


async def test_only_public_asymmetric_keys_of_a_good_size_are_taken(oauth: Any) -> None:
    who = oauth.owner()
    good = ECKey.generate_key("P-256", private=True)
    public = good.as_dict(private=False) | {"kid": "a"}
    for keys in (
        [good.as_dict(private=True)],
        [OctKey.generate_key(256).as_dict(private=True)],
        None,
        [{"kty": "RSA"}],
        ["key"],
        [public, public],
        [public, good.as_dict(private=False)],
    ):
        answer = await oauth.http.post(
            PATH,
            json=CARDS | {"auth_method": "private_key_jwt", "jwks": keys and {"keys": keys}},
            headers=who,
        )
        assert (answer.status_code, answer.json()["param"].split(".")[0]) == (400, "jwks"), answer.text
    created = await _create(oauth, who, auth_method="private_key_jwt", jwks={"keys": [public]})
    assert created["client_secret"] is None
    assert created["jwks"] == {"keys": [public]}


async def test_changes_are_those_named_and_checked_like_new(oauth: Any) -> None:
    ann = oauth.owner()
    created = await _create(oauth, ann)
    path = f"{PATH}/{created['client_id']}"
    changed = await oauth.http.patch(
        path, json={"name": " Card\u0065\u0301s ", "require_par": True}, headers=ann
    )
    assert changed.status_code == 200
    assert changed.json()["name"] == "Card\u00e9s"
    assert changed.json()["require_par"] is True
    assert changed.json()["scopes"] == CARDS["scopes"]
    for body, status in (
        ({"redirect_uris": ["http://x.example/"]}, 400),
        ({"name": ""}, 400),
        ({"fee": "0.05"}, 403),
        ({"auth_method": "none"}, 409),
        ({"client_id": "x"}, 400),
    ):
        assert (await oauth.http.patch(path, json=body, headers=ann)).status_code == status, body
    key = ECKey.generate_key("P-256", private=True).as_dict(private=False)
    by_key = {"auth_method": "private_key_jwt", "jwks": {"keys": [key]}}
    assert (await oauth.http.patch(path, json=by_key, headers=ann)).json()["secrets"] == 0
    back = await oauth.http.patch(path, json={"auth_method": "client_secret_post"}, headers=ann)
    assert (back.status_code, back.json()["jwks"], back.json()["secrets"]) == (200, None, 0)


async def test_two_secrets_live_until_the_old_one_is_dropped(oauth: Any) -> None:
    ann = oauth.owner()
    created = await _create(oauth, ann)
    path, digest = f"{PATH}/{created['client_id']}", Digester("pepper-for-the-tests").digest
    secrets = [created["client_secret"]]
    rotated = [await oauth.http.post(f"{path}/secrets", headers=ann) for _ in range(2)]
    secrets += [answer.json()["client_secret"] for answer in rotated]
    [row] = await oauth.rows("SELECT secrets FROM apps")
    assert row["secrets"] == [digest(secrets[2]), digest(secrets[1])]
    for _ in range(2):
        assert (await oauth.http.delete(f"{path}/secrets/previous", headers=ann)).status_code == 204
        [row] = await oauth.rows("SELECT secrets FROM apps")
        assert row["secrets"] == [digest(secrets[2])]


async def test_the_operator_sees_all_sets_fees_and_has_the_last_word(oauth: Any) -> None:
    ann, admin = oauth.owner(), oauth.owner(None, None, "admin")
    created = await _create(oauth, ann)
    path = f"{PATH}/{created['client_id']}"
    changed = await oauth.http.patch(path, json={"fee": "0.05"}, headers=admin)
    assert changed.json()["fee"] == "0.05"
    for fee in ("1.1", "-0.1", "0.0000001", "many"):
        assert (await oauth.http.patch(path, json={"fee": fee}, headers=admin)).status_code == 400
    everybody = await oauth.http.get(PATH, params={"all": "true"}, headers=admin)
    assert [app["client_id"] for app in everybody.json()["data"]] == [created["client_id"]]
    ended = await oauth.http.post(f"{path}/disable", headers=admin)
    assert (ended.status_code, ended.json()["disabled_by"]) == (200, "operator")
    assert (await oauth.http.post(f"{path}/enable", headers=ann)).status_code == 409
    assert (await oauth.http.delete(path, headers=ann)).status_code == 204
    assert (await oauth.http.post(f"{path}/enable", headers=ann)).status_code == 409
    enabled = await oauth.http.post(f"{path}/enable", headers=admin)
    assert (enabled.json()["disabled_at"], enabled.json()["disabled_by"]) == (None, None)


async def test_an_app_that_ends_is_told_once(oauth: Any) -> None:
    ann = oauth.owner()
    created = await _create(oauth, ann)
    path = f"{PATH}/{created['client_id']}"
    heard: asyncio.Queue[AppDisabled] = asyncio.Queue()
    decoder = msgspec.json.Decoder(OAuthEvent)

    async def on_event(message: Any) -> None:
        heard.put_nowait(decoder.decode(message.data))

    await oauth.bus.subscribe("oauth.>", on_event)
    assert (await oauth.http.delete(path, headers=ann)).status_code == 204
    event = await asyncio.wait_for(heard.get(), 5)
    assert (event.app, event.user, event.sequence) == (created["client_id"], created["owner"], 1)
    assert (await oauth.http.delete(path, headers=ann)).status_code == 204
    assert (await oauth.http.post(f"{path}/enable", headers=ann)).json()["disabled_at"] is None
    assert (await oauth.http.post(f"{path}/disable", headers=ann)).json()["disabled_by"] == "owner"
    assert (await asyncio.wait_for(heard.get(), 5)).sequence == 2


async def test_fewer_scopes_count_at_once_for_the_tokens_an_app_holds_and_are_told(oauth: Any) -> None:
    app, secret = await oauth.app()
    tokens = await oauth.tokens(app, secret, "openid", "relay", "charge")
    path, operator = f"{PATH}/{app.client_id}", oauth.owner(None, None, "admin")
    narrowed = {"scopes": ["openid", "charge"]}
    assert (await oauth.http.patch(path, json=narrowed, headers=operator)).status_code == 200
    found = await oauth.rpc.call(TOKEN_CHECK, TokenCheck(tokens["access_token"]))
    assert found.scopes == ("openid", "charge")
    for kind in ("access_token", "refresh_token"):
        told = await oauth.ask("/oauth/introspect", app, secret, token=tokens[kind])
        assert told.json()["scope"] == "openid charge"
    assert (await oauth.http.patch(path, json={"scopes": ["openid"]}, headers=operator)).status_code == 200
    charge = {"authorization": f"Bearer {tokens['access_token']}", "idempotency-key": "k"}
    refused = await oauth.http.post("/oauth/v1/charges", json={"amount": "1"}, headers=charge)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    wider = {"scopes": ["openid", "relay"], "name": "Wider"}
    assert (await oauth.http.patch(path, json=wider, headers=operator)).status_code == 200
    assert (await oauth.http.delete(path, headers=operator)).status_code == 204
    with pytest.raises(ServiceError, match="unknown"):
        await oauth.rpc.call(TOKEN_CHECK, TokenCheck(tokens["access_token"]))
    events = [msgspec.convert(event, OAuthEvent) for event in await oauth.events(3)]
    assert [type(event) for event in events] == [AppNarrowed, AppNarrowed, AppDisabled]
    assert (events[0].app, events[0].scopes, events[0].sequence) == (app.client_id, ("openid", "charge"), 1)


async def test_lists_go_on_where_the_page_before_ended(oauth: Any) -> None:
    ann = oauth.owner()
    made = [(await _create(oauth, ann))["client_id"] for _ in range(5)]
    listed: list[str] = []
    cursor = None
    for _ in range(3):
        params = {"limit": "2"} | ({} if cursor is None else {"after": cursor})
        page = (await oauth.http.get(PATH, params=params, headers=ann)).json()
        listed += [app["client_id"] for app in page["data"]]
        cursor = page["next"]
    assert (listed, cursor) == (made, None)
    for wrong in ({"after": "x"}, {"limit": "0"}, {"limit": "501"}):
        assert (await oauth.http.get(PATH, params=wrong, headers=ann)).status_code == 400


async def test_the_last_place_for_an_app_is_given_once_on_two_replicas(bare_oauth: Any) -> None:
    replicas = [await bare_oauth.start_replica() for _ in range(2)]
    ann = bare_oauth.owner()
    first = await _create(bare_oauth, ann)
    for _ in range(MOST_APPS - 2):
        await _create(bare_oauth, ann)
    answers = await asyncio.gather(
        *(replicas[number % 2].post(PATH, json=CARDS, headers=ann) for number in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    path = f"{PATH}/{first['client_id']}"
    assert (await bare_oauth.http.delete(path, headers=ann)).status_code == 204
    await _create(bare_oauth, ann)
    assert (await bare_oauth.http.post(f"{path}/enable", headers=ann)).status_code == 409
    await _create(bare_oauth, bare_oauth.owner())


async def test_changes_at_once_on_two_replicas_lose_nothing(bare_oauth: Any) -> None:
    replicas = [await bare_oauth.start_replica() for _ in range(2)]
    ann = bare_oauth.owner()
    path = f"{PATH}/{(await _create(bare_oauth, ann))['client_id']}"
    bodies = ({"name": "New"}, {"description": "New"}, {"require_par": True}, {"require_dpop": True})
    await asyncio.gather(
        *(replicas[n % 2].patch(path, json=body, headers=ann) for n, body in enumerate(bodies))
    )
    app = (await bare_oauth.http.get(path, headers=ann)).json()
    assert {name: app[name] for body in bodies for name in body} == {
        "name": "New",
        "description": "New",
        "require_par": True,
        "require_dpop": True,
    }
