"""Access tokens of apps: as good as a key on model routes, nowhere else, and dead a second after a revoke."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from joserfc import jwk, jwt

from common.contracts.errors import ServiceError
from common.contracts.oauth import (
    TOKEN_CHECK,
    AppDisabled,
    AppNarrowed,
    GrantRevoked,
    GrantUpdated,
    OAuthEvent,
    TokenCheck,
    TokenFound,
    TokensRevoked,
)
from common.contracts.principals import Budget
from common.contracts.streams import OAUTH, event_subject
from common.kit.bus import Bus
from common.kit.ids import uuid7
from common.kit.rpc import RpcServer
from common.kit.telemetry import Telemetry
from gateway.domain.proofs import ALGORITHMS

MODELS = "/v1/models"
ORIGIN = "https://ai.example.com"


class OAuthPeer:
    """The OAuth service as its callers see it: answers the check, and publishes what happened."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.tokens: dict[str, TokenFound] = {}
        self.asked = 0
        self.server = RpcServer(bus, "oauth", Telemetry("test", "test-0", "", 0.0))
        self.server.add(TOKEN_CHECK, self._check)

    async def _check(self, request: TokenCheck) -> TokenFound:
        self.asked += 1
        found = self.tokens.get(request.token)
        if found is None:
            raise ServiceError("No such token.", code="invalid_token", status=401)
        return found

    def issue(self, user: Any, scopes: Sequence[str] = ("relay",), **fields: Any) -> dict[str, str]:
        """A new token of the app `app-1` for the person, as a header."""
        token = f"toa_{uuid7()}"
        expires_at_s = fields.pop("expires_at_s", 2**40)
        self.tokens[token] = TokenFound(
            uuid7(), "app-1", user["id"], user["account"], tuple(scopes), expires_at_s, **fields
        )
        return {"authorization": f"Bearer {token}"}

    async def tell(self, event: OAuthEvent) -> None:
        """As the outbox does."""
        tag = str(type(event).__struct_config__.tag)
        await self._bus.publish(event_subject(tag, event.user), msgspec.json.encode(event))


@pytest.fixture
async def peer(bare_suite: Any) -> AsyncIterator[OAuthPeer]:
    bus = await Bus.connect(bare_suite.nats_url, "test")
    await bus.ensure_streams([OAUTH])
    peer = OAuthPeer(bus)
    await peer.server.start()
    yield peer
    await peer.server.stop()
    await bus.close()


async def test_a_token_is_a_key_to_the_models_with_the_grant_for_a_spender(
    suite: Any, peer: OAuthPeer
) -> None:
    await suite.admin.put("/api/groups/half", json={"rate": "0.5"})
    user = await suite.user(group="half")
    budget = Budget(5_000, "month", "Asia/Shanghai", 80, 100)
    headers = peer.issue(user, ("relay", "charge"), budget=budget)
    for _ in range(3):
        assert (await suite.admin.get(MODELS, headers=headers)).status_code == 200
    seen = suite.service.headers()
    principal = suite.signer.verify(seen[b"x-tollway-principal"][0])
    (found,) = peer.tokens.values()
    assert (principal.spender, principal.spender_kind, principal.app) == (found.grant, "grant", "app-1")
    assert (principal.user, principal.account) == (user["id"], user["account"])
    assert (principal.group, principal.rate_micro, principal.scopes) == ("half", 500_000, ("relay",))
    assert principal.limits.budget == budget
    assert b"authorization" not in seen
    assert peer.asked == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer toa_unknown"},
        {"authorization": "toa_unknown"},
        {"x-api-key": "toa_unknown", "anthropic-version": "2023-06-01"},
    ],
)
async def test_an_unknown_token_is_refused_in_the_protocols_shape_with_a_challenge(
    suite: Any, peer: OAuthPeer, headers: dict[str, str]
) -> None:
    suite.admin.headers.pop("authorization")
    answer = await suite.admin.get(MODELS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="tollway", error="invalid_token"')
    error = answer.json()["error"]
    assert "access token" in error["message"]
    assert "toa_unknown" not in answer.text
    if "anthropic-version" in headers:
        assert error["type"] == "authentication_error"
    else:
        assert error["code"] == "invalid_token"
    assert peer.asked == 1


async def test_no_credential_is_challenged_without_an_error(suite: Any) -> None:
    suite.admin.headers.pop("authorization")
    answer = await suite.admin.get(MODELS)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="tollway"')


async def test_a_token_in_a_url_is_none(suite: Any, peer: OAuthPeer) -> None:
    headers = peer.issue(await suite.user())
    suite.admin.headers.pop("authorization")
    answer = await suite.admin.get(MODELS, params={"key": headers["authorization"].partition(" ")[2]})
    assert answer.status_code == 401
    assert peer.asked == 0


async def test_a_token_past_its_end_is_refused(suite: Any, peer: OAuthPeer) -> None:
    headers = peer.issue(await suite.user(), expires_at_s=int(suite.clock.time()) + 10)
    assert (await suite.admin.get(MODELS, headers=headers)).status_code == 200
    suite.clock.advance(10)
    answer = await suite.admin.get(MODELS, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")


async def test_a_good_token_without_the_scope_is_told_so_and_never_that_it_is_invalid(
    suite: Any, peer: OAuthPeer
) -> None:
    headers = peer.issue(await suite.user(), ("openid", "charge"))
    for _ in range(2):
        answer = await suite.admin.get(MODELS, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
        told = answer.headers["www-authenticate"]
        assert told == 'Bearer realm="tollway", error="insufficient_scope", scope="relay"'
    assert peer.asked == 1
    assert suite.service.scopes == []


@pytest.mark.parametrize(
    "path", ["/api/keys", "/api/me", "/api/billing/wallet", "/api/oauth/grants", "/events"]
)
async def test_no_app_reaches_the_management_api_whatever_it_was_granted(
    suite: Any, peer: OAuthPeer, path: str
) -> None:
    headers = peer.issue(await suite.user(role="admin"), ("relay", "account", "admin"))
    answer = await suite.admin.get(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "scope=" not in answer.headers["www-authenticate"]
    assert suite.service.scopes == []


async def test_a_disabled_person_ends_their_tokens(suite: Any, peer: OAuthPeer) -> None:
    user = await suite.user()
    headers = peer.issue(user)
    assert (await suite.admin.get(MODELS, headers=headers)).status_code == 200
    await suite.admin.patch(f"/api/users/{user['id']}", json={"enabled": False})
    assert (await suite.admin.get(MODELS, headers=headers)).status_code == 401


async def test_while_the_oauth_service_is_away_known_tokens_go_on_and_others_wait(
    suite: Any, peer: OAuthPeer
) -> None:
    user = await suite.user()
    known, unknown = peer.issue(user), peer.issue(user)
    assert (await suite.admin.get(MODELS, headers=known)).status_code == 200
    await peer.server.stop()
    assert (await suite.admin.get(MODELS, headers=known)).status_code == 200
    answer = await suite.admin.get(MODELS, headers=unknown)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("ending", [GrantRevoked, GrantUpdated, TokensRevoked, AppDisabled, AppNarrowed])
async def test_a_revoke_is_felt_at_every_replica_within_a_second(
    suite: Any, peer: OAuthPeer, ending: Any
) -> None:
    replicas = [suite.admin, await suite.start()]
    user = await suite.user()
    headers = peer.issue(user)
    other = peer.issue(await suite.user("bob@example.com"))
    for replica in replicas:
        for sent in (headers, other):
            assert (await replica.get(MODELS, headers=sent)).status_code == 200
    found = peer.tokens.pop(headers["authorization"].partition(" ")[2])
    ids = {"id": uuid7(), "sequence": 1, "user": user["id"], "app": "app-1"}
    grant = ids | {"account": user["account"], "grant": found.grant}
    own = {GrantUpdated: grant | {"scopes": ()}, AppDisabled: ids, AppNarrowed: ids | {"scopes": ()}}
    fields = own.get(ending, grant | {"by": "user"})
    started_s = time.monotonic()
    await peer.tell(ending(**fields))
    for replica in replicas:
        while (await replica.get(MODELS, headers=headers)).status_code != 401:
            assert time.monotonic() - started_s < 1, "the revoked token still works"
            await asyncio.sleep(0.01)  # reason: the event travels through the broker
        assert (await replica.get(MODELS, headers=other)).status_code == 200


async def test_an_event_nobody_can_read_drops_every_token(suite: Any, peer: OAuthPeer) -> None:
    headers = peer.issue(await suite.user())
    assert (await suite.admin.get(MODELS, headers=headers)).status_code == 200
    peer.tokens.clear()
    await peer._bus.publish("oauth.grant.vanished.v9.nobody", b'{"type":"oauth.grant.vanished.v9"}')
    started_s = time.monotonic()
    while (await suite.admin.get(MODELS, headers=headers)).status_code == 200:
        assert time.monotonic() - started_s < 1
        await asyncio.sleep(0.01)  # reason: the event travels through the broker


class Holder:
    """An app with a key of its own, and a token bound to it."""

    def __init__(self, suite: Any, headers: dict[str, str], key: Any) -> None:
        self._suite = suite
        self.token = headers["authorization"].partition(" ")[2]
        self._key = key

    def headers(self, **claims: Any) -> dict[str, str]:
        """Of one request to the models."""
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._key.as_dict(private=False)}
        digest = hashlib.sha256(self.token.encode()).digest()
        ath = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        body = {
            "jti": uuid7(),
            "htm": "GET",
            "htu": ORIGIN + MODELS,
            "iat": int(self._suite.clock.time()),
            "ath": ath,
        }
        proof = jwt.encode(head, body | claims, self._key, algorithms=["ES256"])
        return {"authorization": f"DPoP {self.token}", "dpop": proof}


async def test_a_bound_token_counts_with_a_fresh_proof_and_never_as_a_bearer(
    bare_suite: Any, peer: OAuthPeer
) -> None:
    suite = bare_suite
    suite.admin = await suite.start(public_url=ORIGIN)
    key = jwk.ECKey.generate_key("P-256")
    bound = Holder(suite, peer.issue(await suite.user(), jkt=key.thumbprint()), key)
    sent = bound.headers()
    assert (await suite.admin.get(MODELS, headers=sent)).status_code == 200
    assert not {b"dpop", b"authorization"} & set(suite.service.headers())
    bearer = {"authorization": f"Bearer {bound.token}"}
    refusals = {
        "invalid_token": (bearer, {**bearer, "dpop": bound.headers()["dpop"]}, {"x-api-key": bound.token}),
        "invalid_dpop_proof": (
            sent,
            {"authorization": sent["authorization"]},
            bound.headers(htm="POST"),
            bound.headers(htu=ORIGIN + "/v1/embeddings"),
            bound.headers(iat=1),
            bound.headers(ath="x"),
            Holder(suite, bearer, jwk.ECKey.generate_key("P-256")).headers(),
        ),
    }
    suite.admin.headers.pop("authorization")
    for code, wrong in refusals.items():
        for headers in wrong:
            answer = await suite.admin.get(MODELS, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, code), headers
            told = answer.headers["www-authenticate"]
            assert told.startswith(f'DPoP algs="{" ".join(ALGORITHMS)}", error="{code}"')
    assert len(suite.service.scopes) == 1


async def test_an_unbound_token_or_a_key_is_no_dpop_token(bare_suite: Any, peer: OAuthPeer) -> None:
    suite = bare_suite
    suite.admin = await suite.start(public_url=ORIGIN)
    holder = Holder(suite, peer.issue(await suite.user()), jwk.ECKey.generate_key("P-256"))
    answer = await suite.admin.get(MODELS, headers=holder.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
    key = await suite.key()
    answer = await suite.admin.get(MODELS, headers={"authorization": f"DPoP {key['secret']}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
