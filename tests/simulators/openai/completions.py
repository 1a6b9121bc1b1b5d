"""`POST /completions`, the legacy endpoint: text in, text out, the same answer for each prompt and choice."""

from collections.abc import Iterator
from typing import Any

import msgspec

from simulators.delivery import Frame
from simulators.openai.chat import Reply
from simulators.openai.envelope import Envelope, sse
from simulators.text import grouped

KIND = "text_completion"


def completion_json(envelope: Envelope, reply: Reply, choices: int) -> bytes:
    """The `text_completion` object."""
    answer = [_choice(i, reply.text, reply.finish_reason) for i in range(choices)]
    return msgspec.json.encode(envelope.whole(KIND, answer))


def completion_frames(envelope: Envelope, reply: Reply, choices: int) -> Iterator[Frame]:
    """The stream, whose chunks are `text_completion` objects too, up to and with `[DONE]`."""
    for group in grouped(reply.tokens, envelope.faults.chunks or len(reply.tokens)):
        for i in range(choices):
            choice = _choice(i, "".join(group), None)
            yield Frame(sse(envelope.chunk(KIND, [choice])), len(group), content=True)
    for i in range(choices):
        choice = _choice(i, "", reply.finish_reason)
        yield Frame(sse(envelope.chunk(KIND, [choice], last=i == choices - 1)))
    yield from envelope.tail(KIND)


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
