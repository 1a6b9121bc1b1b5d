"""Stream a request to the service that answers it, and its answer back, holding neither in memory."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from common.contracts.errors import BodyTooLargeError
from common.contracts.routes import Service
from common.kit.asgi import ClientGoneError, DisconnectWatch, Message, Receive, Send, read_body
from gateway.domain.headers import RawHeaders, returned_headers
from gateway.domain.ports import Answer, Services

CLIENT_GONE = 499
"""What metrics call a request whose client left before the answer began; nobody receives it."""


PUBLIC_BYTES = 2**20
"""The most that somebody without a key may send."""


class Forwarding(msgspec.Struct):
    """One request to forward: its headers as the service shall see them, and those to add to the answer.

    `status` is 0 until the answer begins.
    """

    service: Service
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    length: bytes | None
    answer_headers: list[tuple[bytes, bytes]]
    status: int = 0


async def read_whole(receive: Receive, length: bytes | None) -> Receive:
    """A `receive` that gives the whole body in one message, byte for byte, once it is here to its end.

    For callers whom nobody vouches for: whoever begins a request and never ends it keeps no service waiting.
    BodyTooLargeError over PUBLIC_BYTES, ClientGoneError.
    """
    if length is not None and length.isdigit() and int(length) > PUBLIC_BYTES:
        raise BodyTooLargeError(f"The request body is over the limit of {PUBLIC_BYTES // 2**20} MiB.")
    body = await read_body(receive, PUBLIC_BYTES)
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_whole() -> Message:
        return whole.pop() if whole else await receive()

    return receive_whole


async def forward(services: Services, forwarding: Forwarding, receive: Receive, send: Send) -> None:
    """Serve one request from a service.

    Raises UnavailableError or UpstreamError before the answer has begun and AnswerCutError after, when the
    server must cut the connection. When the client leaves, the service sees its caller leave at once.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine that runs is in a task
    watch = DisconnectWatch(receive, task.cancel)
    try:
        await _exchange(services, forwarding, receive, send, watch)
    except asyncio.CancelledError:
        if not watch.gone:
            raise
        forwarding.status = CLIENT_GONE
    finally:
        watch.stop()


async def _exchange(
    services: Services, forwarding: Forwarding, receive: Receive, send: Send, watch: DisconnectWatch
) -> None:
    message = await receive()
    if message["type"] == "http.disconnect":
        forwarding.status = CLIENT_GONE
        return
    body: bytes | AsyncIterator[bytes]
    if message.get("more_body"):
        body = _rest_of_body(message, receive, watch)
    else:
        body = message.get("body", b"")
        watch.start()
    answer = await services.send(
        forwarding.service,
        forwarding.method,
        forwarding.target,
        forwarding.headers,
        body,
        forwarding.length,
    )
    try:
        forwarding.status = answer.status
        await _return(answer, forwarding.answer_headers, send, watch)
    finally:
        answer.close()


async def _rest_of_body(message: Message, receive: Receive, watch: DisconnectWatch) -> AsyncIterator[bytes]:
    """The body chunk by chunk, read only as fast as the service takes it; ClientGoneError when it stops."""
    while True:
        if message["type"] == "http.disconnect":
            watch.trip()
            raise ClientGoneError
        if chunk := message.get("body"):
            yield chunk
        if not message.get("more_body"):
            watch.start()
            return
        message = await receive()


async def _return(answer: Answer, extra: RawHeaders, send: Send, watch: DisconnectWatch) -> None:
    own = {name for name, _ in extra}
    headers = [pair for pair in returned_headers(answer.headers) if pair[0] not in own]
    headers += extra
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    chunk = answer.ready()
    if not answer.at_end:
        chunk = chunk or await answer.next()
        while chunk:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await answer.next()
    # The server wakes a waiting receive() when the answer is complete, as if the client had gone.
    watch.stop()
    await send({"type": "http.response.body", "body": chunk})
