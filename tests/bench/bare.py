"""The smallest possible hop in Python: uvicorn and aiohttp pass a request on; no keys, no limits, no books.

It says what the machine charges for one hop, so that the figures of two machines can be compared.
"""

import os
from typing import Any

import aiohttp

_SESSION: list[aiohttp.ClientSession] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI: POST the body to BARE_UPSTREAM/chat/completions and stream the answer back."""
    if scope["type"] != "http":
        return
    if not _SESSION:
        connector = aiohttp.TCPConnector(limit=0)
        _SESSION.append(aiohttp.ClientSession(connector=connector, auto_decompress=False))
    message = await receive()
    headers = {"authorization": "Bearer sk-sim", "content-type": "application/json"}
    url = os.environ["BARE_UPSTREAM"] + "/chat/completions"
    async with _SESSION[0].post(url, data=message["body"], headers=headers) as answer:
        kept = [(b"content-type", answer.headers["content-type"].encode())]
        if "content-length" in answer.headers:
            kept.append((b"content-length", answer.headers["content-length"].encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
