"""Bad input through the front door: a clear error in the protocol's shape, nothing charged, nothing lost."""

import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from common.contracts.principals import Principal
from common.kit.principal import PrincipalSigner
from e2e.suite import Person, RunningSuite, eventually

GOOD: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def post(
    suite: RunningSuite, key: str, body: object, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(
        f"{suite.base_url}/chat/completions",
        content=content,
        headers={"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})},
        timeout=30,
    )


def assert_refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert answer.headers["x-request-id"] in error["message"]
    return error


def assert_free(suite: RunningSuite, person: Person) -> None:
    """Nothing was charged: the wallet is whole and every record, if any, costs nothing."""
    assert suite.wait_released(person) == Decimal(10)
    assert all(Decimal(record["cost"]) == 0 for record in suite.usage(person))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"model": "gpt-4o-mini"', "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b"[]", "invalid_request"),
        (b"null", "invalid_request"),
        (b'{"a":1}', "missing_required_parameter"),
    ],
)
def test_malformed_json_is_refused(suite: RunningSuite, body: bytes, code: str) -> None:
    person = suite.person()
    assert_refused(post(suite, person.key, body), 400, code)
    assert_free(suite, person)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 7}, "model"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"n": 0}, "n"),
    ],
)
def test_a_wrong_type_names_the_field(suite: RunningSuite, change: dict[str, Any], param: str) -> None:
    person = suite.person()
    error = assert_refused(post(suite, person.key, GOOD | change), 400, "invalid_request")
    assert error["param"] == param
    assert_free(suite, person)


def test_ambiguous_duplicate_keys_are_refused(suite: RunningSuite) -> None:
    person = suite.person()
    body = (
        b'{"model":"gpt-4o-mini","max_tokens":1,"messages":[{"role":"user","content":"a"}],"max_tokens":9999}'
    )
    assert_refused(post(suite, person.key, body), 400, "duplicate_field")
    assert_free(suite, person)


def test_a_20_mb_body_is_told_the_limit(suite: RunningSuite) -> None:
    person = suite.person()
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 20_000_000}]}
    error = assert_refused(post(suite, person.key, body), 413, "request_too_large")
    assert "MiB" in error["message"]
    assert_free(suite, person)


def test_an_unknown_model_is_not_found(suite: RunningSuite) -> None:
    person = suite.person()
    error = assert_refused(post(suite, person.key, GOOD | {"model": "gpt-99"}), 404, "model_not_found")
    assert "gpt-99" in error["message"]
    assert_free(suite, person)


def test_a_blocked_model_is_forbidden(suite: RunningSuite) -> None:
    person = suite.person(models=["text-embedding-*"])
    answer = post(suite, person.key, GOOD)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] in {"model_not_allowed", "forbidden"}
    assert_free(suite, person)


def test_a_blocked_address_is_forbidden(suite: RunningSuite) -> None:
    person = suite.person(ips=["10.0.0.0/8"])
    assert post(suite, person.key, GOOD).status_code == 403
    assert post(suite, person.key, GOOD, {"x-forwarded-for": "10.0.0.1"}).status_code == 403
    assert_free(suite, person)


@pytest.mark.parametrize("key", ["sk-wrong", "x", "sk-" + "é" * 10, "x" * 5000])
def test_a_bad_key_is_refused_in_the_protocols_shape(suite: RunningSuite, key: str) -> None:
    headers = {"authorization": f"Bearer {key}".encode()}
    answer = httpx.post(f"{suite.base_url}/chat/completions", json=GOOD, headers=headers)  # type: ignore[arg-type]
    assert_refused(answer, 401, "invalid_api_key")


def test_no_key_at_all_is_refused(suite: RunningSuite) -> None:
    answer = httpx.post(f"{suite.base_url}/chat/completions", json=GOOD)
    assert_refused(answer, 401, "invalid_api_key")


def test_an_expired_key_is_refused(suite: RunningSuite) -> None:
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    person = suite.person()
    made = suite.admin.post("/api/keys", json={"email": person.email, "name": "old", "expires_at": past})
    if made.status_code == 201:
        assert_refused(post(suite, made.json()["secret"], GOOD), 401, "invalid_api_key")
    else:
        assert made.status_code == 400, made.text
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    made = suite.admin.post("/api/keys", json={"email": person.email, "name": "soon", "expires_at": soon})
    key = made.json()["secret"]
    assert post(suite, key, GOOD).status_code == 200
    eventually(lambda: post(suite, key, GOOD).status_code == 401 or None)


def test_a_revoked_key_is_refused_within_a_second(suite: RunningSuite) -> None:
    person = suite.person()
    assert post(suite, person.key, GOOD).status_code == 200
    assert suite.admin.delete(f"/api/keys/{person.key_id}").status_code == 204
    eventually(lambda: post(suite, person.key, GOOD).status_code == 401 or None, timeout_s=1)


def test_an_empty_wallet_is_told_how_to_top_up(suite: RunningSuite) -> None:
    person = suite.person(balance="0")
    error = assert_refused(post(suite, person.key, GOOD), 402, "insufficient_quota")
    assert "top up" in error["message"].lower()
    assert suite.wallet(person) == (Decimal(0), Decimal(0))


def test_a_forged_principal_opens_nothing(suite: RunningSuite) -> None:
    person = suite.person(balance="0")
    forged = PrincipalSigner("k1:a-secret-the-forger-made-up").sign(
        Principal(person.account, person.user, person.key_id, "default", 1, "forged-request", 2**33)
    )
    for name in ("x-tollway-principal", "X-Tollway-Principal", "x_tollway_principal"):
        without_key = httpx.post(
            f"{suite.base_url}/chat/completions", json=GOOD, headers={name: forged.decode()}
        )
        assert without_key.status_code == 401
        with_key = post(suite, person.key, GOOD, {name: forged.decode()})
        assert with_key.status_code == 402
    relay = suite.state["services"]["chat-relay"]["url"]
    direct = httpx.post(
        f"{relay}/v1/chat/completions", json=GOOD, headers={"x-tollway-principal": forged.decode()}
    )
    assert direct.status_code == 401


@pytest.mark.parametrize(
    "smuggled",
    [
        b"content-length: 5\r\ncontent-length: 400\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"content-length: +5\r\n",
        b"content-length : 5\r\n",
    ],
)
def test_ambiguous_framing_is_refused_and_never_forwarded(suite: RunningSuite, smuggled: bytes) -> None:
    person = suite.person()
    hidden = b"GET /api/users HTTP/1.1\r\nhost: x\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + person.key.encode()
    parts = urlsplit(suite.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head + b"\r\n" + smuggled + b"\r\n0\r\n\r\n" + hidden)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert b'"data"' not in answer
    assert_free(suite, person)


def test_another_tenants_objects_are_not_found(suite: RunningSuite) -> None:
    mine, theirs = suite.person(), suite.person()
    headers = {"authorization": f"Bearer {mine.key}"}
    with httpx.Client(base_url=suite.url, headers=headers) as client:
        assert client.get("/api/billing/wallet").json()["balance"] == "10"
        assert client.get("/api/billing/wallet", params={"account": theirs.account}).status_code in {403, 404}
        assert client.get("/api/billing/usage", params={"account": theirs.account}).status_code in {403, 404}
        assert client.get("/api/billing/usage", params={"account": "all"}).status_code == 403
        assert (
            client.get("/api/users", params={"email": theirs.email}).json()["data"][0]["email"] == mine.email
        )
        assert client.delete(f"/api/keys/{theirs.key_id}").status_code == 404
        assert client.get("/api/channels").status_code == 403
        topup = client.post(
            "/api/billing/topups", json={"account": mine.account, "amount": "1", "reason": "x"}
        )
        assert topup.status_code == 403
    assert post(suite, theirs.key, GOOD).status_code == 200


def test_the_upstreams_refusals_pass_or_become_ours(suite: RunningSuite) -> None:
    person = suite.person()
    limited = post(suite, person.key, GOOD | {"model": "sim-429"})
    assert limited.status_code == 429
    assert limited.headers["retry-after"] == "1"
    broken = post(suite, person.key, GOOD | {"model": "sim-500"})
    assert broken.status_code in {500, 502}
    for model in ("sim-cut-before-headers", "sim-garbage", "sim-dead"):
        answer = post(suite, person.key, GOOD | {"model": model})
        assert answer.status_code in {502, 503}, (model, answer.text)
        assert answer.json()["error"]["message"]
    assert_free(suite, person)
