"""Chat answers encoded once at start, for benchmarks: the simulator shares its cores with what is measured.

No key is asked for, nothing is parsed beyond two patterns, only the totals are counted. The answer is always
the same: one JSON object of ~800 bytes, or a stream of 64 content chunks, each sent on its own, with the
usage chunk when the request asks for it. A body that names a `sim-` model is left to the ordinary path.
"""

import re
from typing import Any

from simulators.faults import Faults
from simulators.openai.chat import Reply, chat_frames, chat_json
from simulators.openai.envelope import Envelope
from simulators.openai.requests import StreamOptions
from simulators.served import Served
from simulators.text import filler
from simulators.wire import Message, Receive, Send

STREAM = re.compile(rb'"stream"\s*:\s*true')
USAGE = re.compile(rb'"include_usage"\s*:\s*true')
SCRIPTED = b'"sim-'

CONTENT_CHUNKS = 64
PROMPT_TOKENS = 20


def _envelope(options: StreamOptions | None = None) -> Envelope:
    return Envelope(
        prefix="chatcmpl",
        model="gpt-4o-mini",
        faults=Faults(),
        prompt_tokens=PROMPT_TOKENS,
        visible_tokens=CONTENT_CHUNKS,
        options=options,
    )


def _messages(kind: bytes, bodies: list[bytes], *, length: bool = False) -> list[Message]:
    headers = [(b"content-type", kind), (b"x-request-id", b"req_fast"), (b"openai-version", b"2020-10-01")]
    if length:
        headers.append((b"content-length", b"%d" % sum(map(len, bodies))))
    start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
    parts: list[Message] = [
        {"type": "http.response.body", "body": body, "more_body": True} for body in bodies
    ]
    parts[-1]["more_body"] = False
    return [start, *parts]


class FastChat:
    """The three answers, ready to send."""

    def __init__(self, served: Served) -> None:
        self._served = served
        reply = Reply(filler(CONTENT_CHUNKS), "stop")
        self._json = _messages(b"application/json", [chat_json(_envelope(), reply, 1)], length=True)
        self._streams = {}
        for asked in (False, True):
            envelope = _envelope(StreamOptions(include_usage=asked))
            frames = [frame.data for frame in chat_frames(envelope, reply, 1)]
            self._streams[asked] = _messages(b"text/event-stream; charset=utf-8", frames)

    async def answer(self, receive: Receive, send: Send) -> bytes | None:
        """Answers and returns None, or returns the body of a request that names a scripted model."""
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            message = await receive()
            body += message.get("body", b"")
        if SCRIPTED in body:
            return body
        answer = self._json
        if STREAM.search(body):
            answer = self._streams[USAGE.search(body) is not None]
        for part in answer:
            await send(part)
        self._served.requests += 1
        self._served.prompt_tokens += PROMPT_TOKENS
        self._served.completion_tokens += CONTENT_CHUNKS
        return None
