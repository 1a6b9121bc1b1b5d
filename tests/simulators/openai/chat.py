"""`POST /chat/completions`: what is answered, and its shape as one JSON object and as stream chunks.

The answer echoes the last message; see `README.md` for the rules of tool calls and structured answers.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from simulators.delivery import Frame
from simulators.faults import Faults
from simulators.openai.envelope import Envelope, sse
from simulators.openai.requests import ChatRequest, Function
from simulators.text import UNICODE_TAIL, echo, filler, grouped, pieces, sample


class Reply(msgspec.Struct, frozen=True):
    """One choice: its tokens in order, why it ended, and the function they are the arguments of, if any."""

    tokens: list[str]
    finish_reason: str
    function: str | None = None

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(self.tokens)


def scripted_tokens(said: str, faults: Faults) -> list[str]:
    """The answer to `said`, of the length that the faults ask for, or long enough for them to strike."""
    length = faults.tokens or faults.chunks
    if length is not None:
        return filler(length)
    tokens = echo(said)
    if faults.unicode or faults.split_utf8:
        tokens = tokens + pieces(UNICODE_TAIL)
    if faults.interrupted_after is not None:
        tokens = tokens + filler(max(0, faults.interrupted_after + 5 - len(tokens)))
    return tokens


def reply_to(request: ChatRequest, faults: Faults) -> Reply:
    """The answer, cut at the request's limit with finish_reason `length`."""
    said = request.messages[-1].text
    function = _called_function(request, said)
    if function is not None:
        arguments = msgspec.json.encode(sample(function.parameters or {"type": "object"}, said))
        tokens = pieces(arguments.decode())
    elif request.response_format is not None and request.response_format.type != "text":
        tokens = pieces(msgspec.json.encode(_structured(request, said)).decode())
    else:
        tokens = scripted_tokens(said, faults)
    finish_reason = "stop" if function is None else "tool_calls"
    if request.limit is not None and len(tokens) > request.limit:
        tokens, finish_reason = tokens[: request.limit], "length"
    return Reply(tokens, finish_reason, function.name if function else None)


def _called_function(request: ChatRequest, said: str) -> Function | None:
    functions = [tool.function for tool in request.tools or () if tool.function]
    choice = request.tool_choice
    if not functions or choice == "none":
        return None
    if isinstance(choice, dict):
        named = choice.get("function", {}).get("name")
        return next((function for function in functions if function.name == named), None)
    if choice == "required":
        return functions[0]
    if request.messages[-1].role != "user":
        return None
    named_in_text = next((function for function in functions if function.name in said), None)
    return named_in_text or (functions[0] if "tool" in said.lower() else None)


def _structured(request: ChatRequest, said: str) -> Any:
    wanted = request.response_format.json_schema if request.response_format else None
    return sample(wanted.schema, said) if wanted and wanted.schema else {"answer": said}


def chat_json(envelope: Envelope, reply: Reply, choices: int) -> bytes:
    """The `chat.completion` object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    if reply.function is not None:
        message["content"] = None
        message["tool_calls"] = [_tool_call(envelope, reply.function, reply.text)]
    answer = [
        {"index": i, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        for i in range(choices)
    ]
    return msgspec.json.encode(envelope.whole("chat.completion", answer))


def chat_frames(envelope: Envelope, reply: Reply, choices: int) -> Iterator[Frame]:
    """The `chat.completion.chunk` events up to and with `[DONE]`."""
    first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    if reply.function is not None:
        call = {"index": 0, **_tool_call(envelope, reply.function, "")}
        first = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
    for i in range(choices):
        yield Frame(_chunk(envelope, i, first), envelope.faults.reasoning)
    for group in grouped(reply.tokens, envelope.faults.chunks or len(reply.tokens)):
        text = "".join(group)
        delta: dict[str, Any] = {"content": text}
        if reply.function is not None:
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        for i in range(choices):
            yield Frame(_chunk(envelope, i, delta), len(group), content=True)
    for i in range(choices):
        last = i == choices - 1
        yield Frame(_chunk(envelope, i, {}, reply.finish_reason, last=last))
    yield from envelope.tail("chat.completion.chunk")


def _chunk(
    envelope: Envelope, index: int, delta: dict[str, Any], reason: str | None = None, *, last: bool = False
) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return sse(envelope.chunk("chat.completion.chunk", [choice], last=last))


def _tool_call(envelope: Envelope, name: str, arguments: str) -> dict[str, Any]:
    call_id = "call_" + envelope.id.rpartition("-")[2][:24]
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
