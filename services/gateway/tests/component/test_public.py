"""Webhooks pass the gateway without a key: byte for byte, bounded, and with nobody's word for them."""

import asyncio
import hashlib
from typing import Any

import httpx

HOOK = "/webhooks/stripe"


async def test_a_webhook_passes_byte_for_byte_without_a_key_and_without_a_principal(suite: Any) -> None:
    body = b'{ "id": "evt_1",\n  "\xc3\xa9": 1 }' + hashlib.shake_128(b"seed").digest(70_000)
    headers = {
        "stripe-signature": "t=1,v1=aa,v0=bb",
        "x-tollway-principal": "forged",
        "X_Tollway_Principal": "forged",
        "content-type": "application/json; charset=utf-8",
    }
    async with httpx.AsyncClient(base_url=suite.admin.base_url) as anybody:
        answer = await anybody.post(f"{HOOK}?a=1", content=body, headers=headers)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["x-request-id"]
    assert suite.service.bodies == [body]
    seen = suite.service.headers()
    assert seen[b"stripe-signature"] == [b"t=1,v1=aa,v0=bb"]
    assert seen[b"content-length"] == [str(len(body)).encode()]
    assert not [name for name in seen if name.replace(b"_", b"-").startswith(b"x-tollway-")]


async def test_a_key_sent_along_is_neither_needed_nor_handed_on(suite: Any) -> None:
    answer = await suite.admin.post(HOOK, content=b"{}")
    assert answer.status_code == 200
    assert b"authorization" not in suite.service.headers()
    assert b"x-tollway-principal" not in suite.service.headers()


async def test_a_huge_body_is_refused_before_the_service_hears_of_it(suite: Any) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 100_000

    async with httpx.AsyncClient(base_url=suite.admin.base_url) as anybody:
        for content in (b"x" * (2**20 + 1), chunks()):
            answer = await anybody.post(HOOK, content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await anybody.post(HOOK, content=b"x" * 2**20)).status_code == 200
    assert [len(body) for body in suite.service.bodies] == [2**20]


async def test_whoever_never_ends_their_request_keeps_no_service_waiting(suite: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", suite.admin.base_url.port)
    writer.write(b"POST /webhooks/stripe HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
    await writer.drain()
    assert (await suite.admin.post(HOOK, content=b"{}")).status_code == 200
    writer.close()
    assert await reader.read() == b""
    assert suite.service.bodies == [b"{}"]


async def test_only_the_webhook_itself_is_public(suite: Any) -> None:
    async with httpx.AsyncClient(base_url=suite.admin.base_url) as anybody:
        for path in (f"{HOOK}/more", "/webhooks", "/webhooks/other"):
            assert (await anybody.post(path, content=b"{}")).status_code == 404
        for path in ("/api/billing/payments", "/api/billing/wallet"):
            assert (await anybody.get(path)).status_code == 401
    assert suite.service.scopes == []
