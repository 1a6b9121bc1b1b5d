"""Apps of the bootstrap file: applied once, followed when it changes, refused when they cannot be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.contracts.bootstrap import OAuthAppSpec
from common.kit.bootstrap import BootstrapError
from common.testing.clock import START
from oauth.domain.tokens import Digester
from oauth.registry.usecases.bootstrap import apply_apps, read_apps

SECRET = "a-secret-of-the-file-0001"
CARDS = f"""
[[oauth_apps]]
name = "Cards"
client_id = "cards"
client_secret = "{SECRET}"
redirect_uris = ["http://127.0.0.1:9999/callback"]
scopes = ["openid", "charge"]
fee = "0.05"
"""


async def _start(oauth: Any, tmp_path: Path, text: str) -> Any:
    path = tmp_path / "tollway.toml"
    path.write_text(text)
    return await oauth.start_replica(bootstrap=str(path))


async def _row(oauth: Any) -> Any:
    [row] = await oauth.rows("SELECT * FROM apps")
    return row


async def test_the_file_is_applied_once_and_followed_when_it_changes(bare_oauth: Any, tmp_path: Path) -> None:
    digest = Digester("pepper-for-the-tests").digest
    await asyncio.gather(*(_start(bare_oauth, tmp_path, CARDS) for _ in range(2)))
    first = await _row(bare_oauth)
    assert (first["client_id"], first["fee_micro"], first["owner"]) == ("cards", 50_000, None)
    assert first["secrets"] == [digest(SECRET)]
    bare_oauth.clock.advance(60)
    await _start(bare_oauth, tmp_path, CARDS)
    assert await _row(bare_oauth) == first
    changed = CARDS.replace('"Cards"', '"Greeting cards"').replace('fee = "0.05"\n', "")
    await _start(bare_oauth, tmp_path, changed)
    row = await _row(bare_oauth)
    assert (row["name"], row["fee_micro"]) == ("Greeting cards", 50_000)
    assert row["updated_at"] > first["updated_at"]
    assert (row["id"], row["secrets"]) == (first["id"], first["secrets"])


async def test_scopes_that_the_file_takes_back_are_told(bare_oauth: Any, tmp_path: Path) -> None:
    await _start(bare_oauth, tmp_path, CARDS)
    await _start(bare_oauth, tmp_path, CARDS.replace(', "charge"', ""))
    [event] = await bare_oauth.events(1)
    assert (event["type"], event["scopes"]) == ("oauth.app.narrowed.v1", ["openid"])


async def test_a_rotated_secret_lives_beside_the_files_until_the_file_says_another(
    bare_oauth: Any, tmp_path: Path
) -> None:
    digest = Digester("pepper-for-the-tests").digest
    http = await _start(bare_oauth, tmp_path, CARDS)
    admin = bare_oauth.owner(None, None, "admin")
    new = (await http.post("/api/oauth/apps/cards/secrets", headers=admin)).json()["client_secret"]
    await _start(bare_oauth, tmp_path, CARDS)
    assert (await _row(bare_oauth))["secrets"] == [digest(new), digest(SECRET)]
    await _start(bare_oauth, tmp_path, CARDS.replace("0001", "0002"))
    assert (await _row(bare_oauth))["secrets"] == [digest(SECRET.replace("0001", "0002"))]


async def test_a_disabled_app_stays_disabled(bare_oauth: Any, tmp_path: Path) -> None:
    http = await _start(bare_oauth, tmp_path, CARDS)
    await http.post("/api/oauth/apps/cards/disable", headers=bare_oauth.owner(None, None, "admin"))
    await _start(bare_oauth, tmp_path, CARDS.replace('"Cards"', '"Other"'))
    row = await _row(bare_oauth)
    assert (row["name"], row["disabled_by"]) == ("Other", "operator")


async def test_an_app_that_a_person_registered_is_not_taken_over(oauth: Any) -> None:
    ann = oauth.owner()
    body = {"name": "Hers", "redirect_uris": ["https://hers.example/"]}
    created = (await oauth.http.post("/api/oauth/apps", json=body, headers=ann)).json()
    spec = OAuthAppSpec("Mine", created["client_id"], ("https://mine.example/",), SECRET)
    declared = read_apps([spec], oauth.digester, oauth.clock.now(), management_tokens=False)
    with pytest.raises(BootstrapError, match="a person"):
        await apply_apps(oauth.store, declared)
    assert (await _row(oauth))["name"] == "Hers"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"client_id": "sub_cards"}, "sub_"),
        ({"client_id": "a b"}, "letters"),
        ({"client_secret": "short"}, "16"),
        ({"client_secret": None}, "one of"),
        ({"public": True}, "one of"),
        ({"jwks": '{"keys": []}'}, "one of"),
        ({"client_secret": None, "jwks": '{"keys": []}'}, "keys"),
        ({"client_secret": None, "jwks": "{"}, "cards"),
        ({"redirect_uris": ("http://cards.example/",)}, "http only"),
        ({"redirect_uris": ()}, "redirect"),
        ({"scopes": ("everything",)}, "one of"),
        ({"scopes": ("management_token",)}, "off"),
        ({"fee": "1.5"}, "share"),
        ({"fee": "much"}, "decimal"),
        ({"name": ""}, "characters"),
    ],
)
def test_what_cannot_be_is_refused_and_names_the_app(wrong: dict[str, Any], reason: str) -> None:
    values: dict[str, Any] = {"name": "Cards", "client_id": "cards", "client_secret": SECRET}
    values["redirect_uris"] = ("https://cards.example/",)
    spec = OAuthAppSpec(**(values | wrong))
    with pytest.raises(BootstrapError, match=reason) as refused:
        read_apps([spec], Digester("pepper"), START, management_tokens=False)
    assert spec.client_id in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_client_id_is_declared_once() -> None:
    spec = OAuthAppSpec("Cards", "cards", ("https://cards.example/",), SECRET)
    with pytest.raises(BootstrapError, match="twice"):
        read_apps([spec, spec], Digester("pepper"), START, management_tokens=False)
