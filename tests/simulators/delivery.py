"""Sends an answer the way the faults of its model say. Knows no vendor: it is given bytes."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import NamedTuple

from simulators.faults import Faults
from simulators.served import OpenServing, Served
from simulators.wire import ClientGoneError, Connection, ConnectionCutError, Headers

GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

# Long enough for the pieces to leave in separate segments, and for the peer to read them one by one.
SPLIT_PAUSE_S = 0.001
SPLIT_STRIDE_BYTES = 97


class Frame(NamedTuple):
    """One server-sent event (`data: …` and a blank line) and the completion tokens it carries."""

    data: bytes
    tokens: int = 0
    content: bool = False


@asynccontextmanager
async def serving(
    served: Served, connection: Connection, request_id: str, prompt_tokens: int
) -> AsyncIterator[OpenServing]:
    """Books the answer written inside, whatever way it ends; a cut or a lost client ends it quietly."""
    entry = served.begin(connection.headers.get("x-request-id", request_id), prompt_tokens)
    outcome = "error"
    try:
        yield entry
        outcome = "complete"
    except ConnectionCutError:
        outcome = "cut"
    except ClientGoneError:
        outcome = "client_gone"
    finally:
        entry.end(outcome)  # type: ignore[arg-type]


async def fail_before_headers(connection: Connection, faults: Faults) -> bool:
    """Waits and failures that come before any answer; True when the exchange is over."""
    await connection.pause(faults.first_byte_s)
    if faults.hang:
        await connection.pause(None)
    if faults.cut_before_headers:
        await connection.cut()
    if faults.garbage:
        await connection.respond(200, [(b"content-type", b"application/json")], GARBAGE)
    return faults.garbage


async def deliver_json(
    connection: Connection, faults: Faults, entry: OpenServing, headers: Headers, body: bytes, tokens: int
) -> None:
    """One JSON answer of `tokens` completion tokens; they count as served only when all of it was written."""
    if faults.cut_body or faults.cut_after is not None:
        await connection.start(200, [*headers, (b"content-length", b"%d" % len(body))])
        await connection.write(body[: len(body) // 2])
        await connection.cut()
    if faults.split_utf8:
        await connection.start(200, headers)
        for piece in split(body):
            await connection.write(piece)
            await connection.pause(SPLIT_PAUSE_S)
        await connection.finish()
    else:
        await connection.respond(200, headers, body)
    entry.deliver(tokens)


async def deliver_stream(
    connection: Connection,
    faults: Faults,
    entry: OpenServing,
    headers: Headers,
    frames: Iterable[Frame],
    error_frame: bytes,
) -> None:
    """A stream of server-sent events; each frame counts as served once it was written."""
    await connection.start(200, headers)
    writer = _EventWriter(connection, faults)
    contents = 0
    for frame in frames:
        if contents == faults.cut_after:
            await writer.flush()
            await connection.cut()
        if contents == faults.hang_after:
            await writer.flush()
            await connection.pause(None)
        if contents == faults.error_frame_after:
            await writer.write(error_frame)
            break
        if frame.content:
            await connection.pause(faults.chunk_s if contents else faults.first_chunk_s)
            contents += 1
        await writer.write(frame.data)
        entry.deliver(frame.tokens)
    await writer.flush()
    await connection.finish()


def split(data: bytes) -> list[bytes]:
    """`data` cut after the first byte of each multi-byte character, and at least every 97 bytes."""
    cuts = {i + 1 for i, byte in enumerate(data) if byte >= 0xC0}
    bounds = sorted({0, len(data), *cuts, *range(SPLIT_STRIDE_BYTES, len(data), SPLIT_STRIDE_BYTES)})
    return [data[start:end] for start, end in pairwise(bounds)]


class _EventWriter:
    """Writes events as they are, or bent by the faults that concern bytes rather than meaning."""

    def __init__(self, connection: Connection, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults
        self._held = b""

    async def write(self, event: bytes) -> None:
        faults = self._faults
        if faults.no_space:
            event = event.replace(b"data: ", b"data:", 1)
        if faults.comments:
            event = b": ping\n\n" + event
        if faults.crlf:
            event = event.replace(b"\n", b"\r\n")
        if not faults.split_utf8:
            await self._connection.write(event)
            return
        # the last byte waits for the next event, so that an event's end and a read's end never fall together
        data = self._held + event
        self._held = data[-1:]
        await self._write_split(data[:-1])

    async def flush(self) -> None:
        held, self._held = self._held, b""
        await self._write_split(held)

    async def _write_split(self, data: bytes) -> None:
        for piece in split(data):
            await self._connection.write(piece)
            await self._connection.pause(SPLIT_PAUSE_S)
