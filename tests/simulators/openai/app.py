"""The vendor's front door: the key, the route, the headers of every answer, and errors in its shape."""

import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from simulators.delivery import Frame, deliver_json, deliver_stream, fail_before_headers, serving
from simulators.faults import Faults, UnknownFaultError, parse_faults
from simulators.openai.chat import Reply, chat_frames, chat_json, reply_to, scripted_tokens
from simulators.openai.completions import completion_frames, completion_json
from simulators.openai.embeddings import embeddings_json
from simulators.openai.envelope import Envelope
from simulators.openai.errors import SERVER_ERROR, OpenAIError, model_not_found, scripted_error
from simulators.openai.models import model_list, one_model
from simulators.openai.requests import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    input_texts,
    parse_body,
)
from simulators.served import Served
from simulators.wire import Connection

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
BAD_KEY = "sk-bad"
LEGACY_LIMIT_TOKENS = 16

ERROR_FRAME = b"data: %s\n\n" % OpenAIError(500, SERVER_ERROR, "server_error").body


class Exchange:
    """One request being answered: its connection, its id at the vendor, when it began."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.request_id = f"req_{os.urandom(16).hex()}"
        self._began = time.perf_counter()

    def headers(self, *more: tuple[bytes, bytes], prompt_tokens: int = 0) -> list[tuple[bytes, bytes]]:
        """The vendor's headers; the rate limits are its figures for a paying account, and never run down."""
        spent_ms = (time.perf_counter() - self._began) * 1000
        return [
            *more,
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", b"%d" % max(1, spent_ms)),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", b"org-simulated"),
            (b"x-ratelimit-limit-requests", b"10000"),
            (b"x-ratelimit-limit-tokens", b"2000000"),
            (b"x-ratelimit-remaining-requests", b"9999"),
            (b"x-ratelimit-remaining-tokens", b"%d" % max(0, 2_000_000 - prompt_tokens)),
            (b"x-ratelimit-reset-requests", b"6ms"),
            (b"x-ratelimit-reset-tokens", b"%dms" % (prompt_tokens * 60 // 2000)),
        ]


class OpenAISimulator:
    """Answers under `/openai/v1`."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._posts = {
            "/chat/completions": self._chat,
            "/completions": self._completion,
            "/embeddings": self._embeddings,
        }

    async def serve(self, connection: Connection, path: str) -> None:
        """One request; every refusal is the vendor's error object."""
        exchange = Exchange(connection)
        try:
            check_key(connection.headers.get("authorization", ""))
            if path in self._posts and connection.method == "POST":
                await self._posts[path](exchange, await connection.read_body())
            else:
                body = msgspec.json.encode(_read(connection.method, path, known=path in self._posts))
                await connection.respond(200, exchange.headers(JSON), body)
        except OpenAIError as error:
            self._served.errors += 1
            await connection.respond(error.status, exchange.headers(JSON, *error.headers), error.body)

    async def _chat(self, exchange: Exchange, body: bytes) -> None:
        request = parse_body(body, ChatRequest)
        faults = self._faults(request.model)
        reply, choices = reply_to(request, faults), request.n or 1
        envelope = Envelope(
            prefix="chatcmpl",
            model=request.model,
            faults=faults,
            prompt_tokens=request.prompt_tokens(),
            visible_tokens=len(reply.tokens),
            choices=choices,
            options=request.stream_options,
        )
        frames = chat_frames(envelope, reply, choices) if request.stream else None
        await self._answer(exchange, envelope, frames or chat_json(envelope, reply, choices))

    async def _completion(self, exchange: Exchange, body: bytes) -> None:
        request = parse_body(body, CompletionRequest)
        faults = self._faults(request.model)
        prompts = input_texts(request.prompt, "prompt")
        tokens = scripted_tokens(prompts[-1][0], faults)
        limit = request.max_tokens or LEGACY_LIMIT_TOKENS
        reply = Reply(tokens[:limit], "length" if len(tokens) > limit else "stop")
        choices = len(prompts) * (request.n or 1)
        envelope = Envelope(
            prefix="cmpl",
            model=request.model,
            faults=faults,
            prompt_tokens=sum(count for _, count in prompts),
            visible_tokens=len(reply.tokens),
            choices=choices,
            options=request.stream_options,
        )
        frames = completion_frames(envelope, reply, choices) if request.stream else None
        await self._answer(exchange, envelope, frames or completion_json(envelope, reply, choices))

    async def _embeddings(self, exchange: Exchange, body: bytes) -> None:
        request = parse_body(body, EmbeddingRequest)
        faults = self._faults(request.model)
        answer, prompt_tokens = embeddings_json(request, faults)
        await self._deliver(exchange, faults, prompt_tokens, 0, answer)

    async def _answer(self, exchange: Exchange, envelope: Envelope, answer: bytes | Iterator[Frame]) -> None:
        tokens = envelope.completion_tokens
        await self._deliver(exchange, envelope.faults, envelope.prompt_tokens, tokens, answer)

    async def _deliver(
        self,
        exchange: Exchange,
        faults: Faults,
        prompt_tokens: int,
        completion_tokens: int,
        answer: bytes | Iterator[Frame],
    ) -> None:
        connection = exchange.connection
        if await fail_before_headers(connection, faults):
            return
        if faults.status is not None:
            raise scripted_error(faults.status)
        async with serving(self._served, connection, exchange.request_id, prompt_tokens) as entry:
            if isinstance(answer, bytes):
                headers = exchange.headers(JSON, prompt_tokens=prompt_tokens)
                await deliver_json(connection, faults, entry, headers, answer, completion_tokens)
            else:
                headers = exchange.headers(EVENT_STREAM, prompt_tokens=prompt_tokens)
                await deliver_stream(connection, faults, entry, headers, answer, ERROR_FRAME)

    def _faults(self, model: str) -> Faults:
        try:
            return self._served.effective(parse_faults(model), model)
        except UnknownFaultError as error:
            raise model_not_found(model) from error


def check_key(authorization: str) -> None:
    """Any bearer key but `sk-bad` will do; raises the vendor's 401."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
        raise OpenAIError(401, message, "invalid_request_error")
    if key.strip() == BAD_KEY:
        message = f"Incorrect API key provided: {BAD_KEY}. You can find your API key in your account."
        raise OpenAIError(401, message, "invalid_request_error", code="invalid_api_key")


def _read(method: str, path: str, *, known: bool) -> dict[str, Any]:
    if method == "GET" and path == "/models":
        return model_list()
    if method == "GET" and path.startswith("/models/"):
        return one_model(path.removeprefix("/models/"))
    if known or path.startswith("/models"):
        raise OpenAIError(405, f"Not allowed to {method} on /v1{path}.", "invalid_request_error")
    raise OpenAIError(404, f"Invalid URL ({method} /v1{path})", "invalid_request_error")
