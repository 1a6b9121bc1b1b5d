"""Requests made to be read differently by the gateway and by the service behind it."""

import asyncio
from typing import Any

import pytest

from common.contracts.principals import Principal
from common.kit.principal import PrincipalSigner

NIL = "00000000-0000-0000-0000-000000000000"


async def _exchange(suite: Any, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are; what comes back until the server closes."""
    port = suite.admin.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n" + body)
    async with asyncio.timeout(5):
        received = await reader.read()
    writer.close()
    return received


def _forged(keys: str) -> str:
    principal = Principal(NIL, NIL, NIL, "default", 0, "forged-request", 2**31, ("relay", "account", "admin"))
    return PrincipalSigner(keys).sign(principal).decode()


@pytest.mark.parametrize(
    "name",
    [
        "x-tollway-principal",
        "X-Tollway-Principal",
        "X_Tollway_Principal",
        "x-tollway_principal",
        "x-tollway-x",
    ],
)
async def test_what_claims_to_come_from_the_gateway_is_left_out(suite: Any, name: str) -> None:
    key = await suite.key()
    forged = _forged("k1:" + "f" * 32)
    head = f"GET /v1/models HTTP/1.1\nhost: x\nauthorization: Bearer {key['secret']}\n{name}: {forged}\n"
    answer = await _exchange(suite, head + "connection: close\n")
    assert answer.startswith(b"HTTP/1.1 200")
    seen = suite.service.headers()
    ours = [header for header in seen if header.replace(b"_", b"-").startswith(b"x-tollway-")]
    assert ours == [b"x-tollway-principal"]
    (signed,) = seen[b"x-tollway-principal"]
    assert suite.signer.verify(signed).spender == key["id"]


async def test_a_forged_principal_is_no_credential(suite: Any) -> None:
    genuine = _forged("k1:" + "s" * 32)
    for header in ("x-tollway-principal", "authorization", "x-api-key"):
        head = f"GET /v1/models HTTP/1.1\nhost: x\n{header}: {genuine}\nconnection: close\n"
        assert (await _exchange(suite, head)).startswith(b"HTTP/1.1 401")
    assert suite.service.scopes == []


async def test_the_connection_header_cannot_remove_what_the_gateway_adds(suite: Any) -> None:
    head = (
        f"GET /v1/models HTTP/1.1\nhost: x\nauthorization: Bearer {suite.admin_key}\n"
        "connection: close, x-tollway-principal, x-mine\nx-mine: 1\nx-other: 2\n"
    )
    assert (await _exchange(suite, head)).startswith(b"HTTP/1.1 200")
    seen = suite.service.headers()
    assert b"x-tollway-principal" in seen
    assert b"x-mine" not in seen
    assert seen[b"x-other"] == [b"2"]
    assert b"close" not in seen.get(b"connection", [])


@pytest.mark.parametrize(
    "framing",
    [
        "content-length: 5\ncontent-length: 6\n",
        "content-length: 5\ncontent-length: 5\n",
        "content-length: 5, 6\n",
        "content-length: +5\n",
        "content-length: 5\ntransfer-encoding: chunked\n",
        "transfer-encoding: chunked\ncontent-length: 5\n",
        "transfer-encoding: chunked, identity\n",
        "transfer-encoding : chunked\n",
        "transfer-encoding: xchunked\n",
    ],
)
async def test_a_body_framed_in_two_ways_is_refused_and_nothing_follows_it(suite: Any, framing: str) -> None:
    smuggled = f"GET /api/channels HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {suite.admin_key}\r\n\r\n"
    head = f"POST /v1/chat/completions HTTP/1.1\nhost: x\nauthorization: Bearer {suite.admin_key}\n{framing}"
    answer = await _exchange(suite, head, b"0\r\n\r\n" + smuggled.encode())
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert [scope["path"] for scope in suite.service.scopes] in ([], ["/v1/chat/completions"])
    assert "/api/channels" not in [scope["path"] for scope in suite.service.scopes]


async def test_two_requests_on_one_connection_are_two_requests(suite: Any) -> None:
    one = f"POST /v1/chat/completions HTTP/1.1\nhost: x\nauthorization: Bearer {suite.admin_key}\n"
    two = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await _exchange(suite, one + "content-length: 2\n", b"{}" + two)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 401" in answer
    assert [scope["path"] for scope in suite.service.scopes] == ["/v1/chat/completions"]


async def test_expect_100_continue_is_answered_here_and_only_after_the_key(suite: Any) -> None:
    port = suite.admin.base_url.port
    for key, first in (
        (suite.admin_key, b"HTTP/1.1 100 Continue"),
        ("sk-unknown-0123456789", b"HTTP/1.1 401"),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        writer.write(head.encode() + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(first)
        writer.write(b"{}")
        if key == suite.admin_key:
            async with asyncio.timeout(5):
                await reader.readuntil(b"\r\n\r\nok")
        writer.close()
    assert suite.service.bodies == [b"{}"]
    assert b"expect" not in suite.service.headers()


async def test_an_oversized_header_is_refused(suite: Any) -> None:
    head = (
        f"GET /v1/models HTTP/1.1\nhost: x\nauthorization: Bearer {suite.admin_key}\nx-big: {'a' * 200_000}\n"
    )
    answer = await _exchange(suite, head + "connection: close\n")
    assert answer[9:10] in (b"4", b"2", b"5")
