"""Small pieces for raw ASGI handlers: read a bounded body, send a whole answer, look up a header."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from common.contracts.errors import BodyTooLargeError, ServiceError
from common.contracts.routes import Protocol
from common.kit.errors import Headers, render_error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DRAIN_FACTOR = 4


class ClientGoneError(Exception):
    """The client disconnected while its request was being read."""


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header; ASGI names are lower-case bytes."""
    for key, value in headers:
        if key == name:
            return value
    return None


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Over the limit the rest is read and dropped (up to 4 x limit) so that the client gets
    to see the 413 instead of a reset connection; raises BodyTooLargeError, or ClientGoneError.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) <= limit_bytes:
            return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit_bytes:
            chunks.append(chunk)
        if not message.get("more_body") or size > limit_bytes * _DRAIN_FACTOR:
            break
        message = await receive()
    if size > limit_bytes:
        raise BodyTooLargeError(f"The request body is over the limit of {limit_bytes // 2**20} MiB.")
    return b"".join(chunks)


async def send_response(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """One complete answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, protocol: Protocol, error: ServiceError, request_id: str) -> None:
    """One complete error answer in the protocol's shape."""
    status, headers, body = render_error(protocol, error, request_id)
    await send_response(send, status, headers, body)
