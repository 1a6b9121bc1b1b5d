"""Signing keys on real replicas: made once, published, rotated by the clock and by the operator."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import KeySet

from common.kit.db import Database
from oauth.adapters.vault import Vault
from oauth.identity.adapters.postgres.keys import PostgresKeys
from oauth.identity.adapters.rsa import RsaSigner
from oauth.identity.domain.keys import AHEAD, IN_USE, KEPT, signing_key
from oauth.identity.usecases.keys import KeyRing

JWKS = "/.well-known/jwks.json"
KEYS = "/api/oauth/keys"
SECOND = timedelta(seconds=1)


def _ring(oauth: Any, secret_key: str = "secret-key-for-the-tests") -> KeyRing:
    database = Database(oauth.dsn, 2)
    oauth.stack.push_async_callback(database.close)
    return KeyRing(PostgresKeys(database), RsaSigner(Vault(secret_key, "signing keys")), oauth.clock.now)


async def _signed_by(oauth: Any, ring: KeyRing) -> str:
    """The kid of a token that is signed now, and that its published keys verify."""
    token = await ring.sign({"sub": "x"})
    public = KeySet.import_key_set(
        {"keys": [msgspec.json.decode(key.public_jwk) for key in await ring.published()]}
    )
    kid = jwt.decode(token, public, algorithms=["RS256"]).header["kid"]
    assert isinstance(kid, str)
    return kid


async def test_replicas_that_are_asked_for_keys_at_once_make_one(bare_oauth: Any) -> None:
    replicas = await asyncio.gather(*(bare_oauth.start_replica() for _ in range(3)))
    answers = await asyncio.gather(*(replica.get(JWKS) for replica in replicas))
    sets = [answer.json()["keys"] for answer in answers]
    assert len(sets[0]) == 1
    assert sets[0] == sets[1] == sets[2]


async def test_only_the_public_half_is_told_and_only_a_sealed_one_stored(oauth: Any) -> None:
    answer = await oauth.http.get(JWKS)
    [key] = answer.json()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert "max-age" in answer.headers["cache-control"]
    [row] = await oauth.rows("SELECT sealed FROM signing_keys")
    assert b"PRIVATE" not in row["sealed"]


async def test_keys_follow_the_clock_and_every_token_can_be_checked(bare_oauth: Any) -> None:
    ring = _ring(bare_oauth)
    await ring.keep()
    first = await _signed_by(bare_oauth, ring)
    bare_oauth.clock.advance((IN_USE - AHEAD - SECOND).total_seconds())
    await ring.keep()
    assert len(await ring.published()) == 1
    bare_oauth.clock.advance(1)
    await ring.keep()
    assert len(await ring.published()) == 2
    assert await _signed_by(bare_oauth, ring) == first
    bare_oauth.clock.advance(AHEAD.total_seconds())
    second = await _signed_by(bare_oauth, ring)
    assert second != first
    assert len(await ring.published()) == 2
    bare_oauth.clock.advance(KEPT.total_seconds())
    await ring.keep()
    assert [key.kid for key in await ring.published()] == [second]
    assert [row["kid"] for row in await bare_oauth.rows("SELECT kid FROM signing_keys")] == [second]


async def test_a_key_that_is_due_is_made_by_one_of_two_replicas(bare_oauth: Any) -> None:
    rings = [_ring(bare_oauth) for _ in range(3)]
    await asyncio.gather(*(ring.published() for ring in rings))
    bare_oauth.clock.advance(IN_USE.total_seconds())
    await asyncio.gather(*(ring.keep() for ring in rings))
    assert len(await bare_oauth.rows("SELECT 1 FROM signing_keys")) == 2


async def test_the_operator_rotates_in_time_or_at_once(oauth: Any) -> None:
    admin, ann = oauth.owner(None, None, "admin"), oauth.owner()
    [first] = (await oauth.http.get(KEYS, headers=admin)).json()["data"]
    for _ in range(2):
        answer = await oauth.http.post(f"{KEYS}/rotate", json={}, headers=admin)
        assert answer.status_code == 200
        coming, current = answer.json()["data"]
        assert (current["kid"], coming["kid"] != first["kid"]) == (first["kid"], True)
        assert current["expires_at"] is not None
    answer = await oauth.http.post(f"{KEYS}/rotate", json={"at_once": True}, headers=admin)
    [only] = answer.json()["data"]
    assert only["kid"] not in (coming["kid"], first["kid"])
    assert [key["kid"] for key in (await oauth.http.get(JWKS)).json()["keys"]] == [only["kid"]]
    assert (await oauth.http.get(KEYS, headers=ann)).status_code == 403
    assert (await oauth.http.post(f"{KEYS}/rotate", json={}, headers=ann)).status_code == 403
    assert (await oauth.http.post(f"{KEYS}/rotate", json={"x": 1}, headers=admin)).status_code == 400


async def test_a_key_that_does_not_open_is_replaced_at_once(bare_oauth: Any) -> None:
    before = _ring(bare_oauth)
    await before.keep()
    lost = await _signed_by(bare_oauth, before)
    after = _ring(bare_oauth, "another-secret-key-now")
    await after.keep()
    assert await _signed_by(bare_oauth, after) != lost
    assert lost in {key.kid for key in await after.published()}
    assert signing_key(await after.published(), bare_oauth.clock.now()) is not None
