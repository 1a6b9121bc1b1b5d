"""The clients, in a process of their own: `python -m chaos.workload JOURNAL < plan.json`.

Writes one line of JSON per request to JOURNAL: what the client asked and what it got. Nothing is retried, so
a request is one attempt under one id. Requests begin on a schedule, not one after another, so that an outage
which refuses quickly meets no more of them than one that is slow to refuse.
"""

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec
import uvloop

from common.kit.ids import uuid7

Kind = Literal["json", "stream", "leave"]
Ending = Literal["complete", "refused", "cut", "left", "hung"]

PROMPT = "Say hello to all who keep the books."
CLIENT_TIMEOUT_S = 30.0
PACE_S = 0.025


class Client(msgspec.Struct, frozen=True):
    """One account's key and how many of ten requests are made with it."""

    account: str
    key: str
    weight: int


class Plan(msgspec.Struct, frozen=True):
    """The work of one round; the same plan asks the same requests at the same moments."""

    url: str
    clients: tuple[Client, ...]
    seed: str
    requests: int = 200
    workers: int = 16


class Request(msgspec.Struct, frozen=True):
    """One request as planned; `leave_after` content chunks the client of kind `leave` goes away."""

    at_s: float
    client: Client
    kind: Kind
    model: str
    leave_after: int = 0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the client saw it. Times are Unix seconds; `status` 0 is no answer at all, `waited_s`
    the longest time without a sign: until the status, from chunk to chunk, until the end.

    `prompt_tokens` and `completion_tokens` are those the answer reported, if it did; `chunks` counts the
    content chunks that arrived.
    """

    id: str
    account: str
    kind: Kind
    model: str
    began_s: float
    ended_s: float
    waited_s: float = 0.0
    ending: Ending
    status: int = 0
    code: str = ""
    chunks: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None


class _Body(msgspec.Struct):
    """A JSON answer, a chunk of a stream, or an error in either."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: dict[str, Any] | None = None


class _Seen(msgspec.Struct):
    """What an attempt has got so far, and when it got the last of it."""

    sign_s: float
    waited_s: float = 0.0
    ending: Ending = "cut"
    status: int = 0
    code: str = ""
    chunks: int = 0
    usage: _Usage | None = None

    def sign(self) -> None:
        """Something came, be it the end."""
        now_s = time.time()
        self.waited_s = max(self.waited_s, now_s - self.sign_s)
        self.sign_s = now_s


_BODY = msgspec.json.Decoder(_Body)


def planned(plan: Plan) -> list[Request]:
    """The requests of a plan, in the order of time."""
    rng = random.Random(plan.seed)
    weights = [client.weight for client in plan.clients]
    requests = []
    for number in range(plan.requests):
        client = rng.choices(plan.clients, weights)[0]
        kind: Kind = rng.choices(("json", "stream", "leave"), (5, 4, 1))[0]
        if kind == "json":
            model = rng.choice(("gpt-4o-mini", "sim-slow-first-byte-150ms", "sim-no-usage"))
        elif kind == "stream":
            model = rng.choice(("gpt-4o-mini", "sim-tokens-40+slow-chunks-10ms"))
        else:
            model = "sim-tokens-120+slow-chunks-10ms"
        requests.append(Request(number * PACE_S, client, kind, model, rng.randrange(1, 40)))
    return requests


async def attempt(session: aiohttp.ClientSession, url: str, request: Request) -> Attempt:
    """Make one request and tell what came of it; whatever the suite does, this returns."""
    request_id = uuid7()
    began_s = time.time()
    seen = _Seen(began_s)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 200,
    }
    if request.kind != "json":
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"authorization": f"Bearer {request.client.key}", "x-request-id": request_id}
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            seen.sign()
            seen.status = answer.status
            if answer.status != 200 or request.kind == "json":
                _read_json(seen, await answer.read())
            else:
                await _read_stream(seen, answer, request)
    except TimeoutError:
        seen.ending = "hung"
    except (aiohttp.ClientError, msgspec.DecodeError) as error:
        seen.code = type(error).__name__
    seen.sign()
    return Attempt(
        id=request_id,
        account=request.client.account,
        kind=request.kind,
        model=request.model,
        began_s=began_s,
        ended_s=seen.sign_s,
        waited_s=seen.waited_s,
        ending=seen.ending,
        status=seen.status,
        code=seen.code,
        chunks=seen.chunks,
        prompt_tokens=seen.usage.prompt_tokens if seen.usage else None,
        completion_tokens=seen.usage.completion_tokens if seen.usage else None,
    )


def _read_json(seen: _Seen, data: bytes) -> None:
    body = _BODY.decode(data)
    seen.usage = body.usage
    if body.error is not None:
        seen.code = str(body.error.get("code"))
    seen.ending = "complete" if seen.status == 200 and body.error is None else "refused"


async def _read_stream(seen: _Seen, answer: aiohttp.ClientResponse, request: Request) -> None:
    async for line in answer.content:
        seen.sign()
        data = line.removeprefix(b"data:").strip()
        if not data:
            continue
        if data == b"[DONE]":
            seen.ending = "complete"
            continue
        body = _BODY.decode(data)
        if body.error is not None:
            seen.code = str(body.error.get("code"))
            continue
        seen.usage = body.usage or seen.usage
        seen.chunks += sum(1 for choice in body.choices if choice.delta and choice.delta.content)
        if request.kind == "leave" and seen.chunks >= request.leave_after:
            seen.ending = "left"
            answer.close()
            return


async def run(plan: Plan, journal: Path) -> None:
    """All requests of the plan; the word `begun` on stdout is the beginning of its clock."""
    queue = iter(planned(plan))
    timeout = aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=plan.workers)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        with journal.open("wb") as file:
            print("begun", flush=True)
            clock_s = time.monotonic()

            async def worker() -> None:
                for request in queue:
                    await asyncio.sleep(clock_s + request.at_s - time.monotonic())
                    made = await attempt(session, plan.url, request)
                    file.write(msgspec.json.encode(made) + b"\n")

            await asyncio.gather(*(worker() for _ in range(plan.workers)))


def main() -> None:
    """Read the plan from stdin and do it."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    uvloop.run(run(plan, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
