"""What an access token costs at the gateway beside an API key: CPU of one request through the front.

`python -m bench.credentials [--rounds 15]` sends requests through the gateway's front in this process, with
an answer ready at once in place of the service behind it, in turns with a key, a token, and a token that is
bound to a key and comes with a fresh DPoP proof. Figures are the best round of each, in microseconds.
"""

import argparse
import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from joserfc import jwk, jwt

from common.contracts.oauth import TokenFound
from common.contracts.principals import Budget
from common.kit.principal import PrincipalSigner
from common.kit.telemetry import Telemetry
from gateway.domain.key_cache import KeyCache
from gateway.domain.keys import KeyFacts, KeyHasher
from gateway.domain.limits import Limiter
from gateway.domain.proofs import Proofs
from gateway.routes.front import Admission, Front
from gateway.usecases.authentication import Authenticator, Finders

BAR_US = 20
"""The most that a token may cost more than a key."""

_ORIGIN = "https://ai.example.com"
_PATH = "/v1/chat/completions"
_ID = "0" * 36
_TOKEN, _BOUND, _KEY = "toa_" + "t" * 43, "toa_" + "b" * 43, "sk-" + "k" * 48
_HOLDER = jwk.ECKey.generate_key("P-256")
_PERSON = KeyFacts("", _ID, _ID, "default", 1_000_000, ())
_REQUESTS = 2000


class _Everything:
    """Finds every key, person and token, and answers every request at once."""

    status = 200
    headers = ((b"content-length", b"2"),)
    at_end = True

    async def find_key(self, _digest: bytes) -> KeyFacts | None:
        return msgspec.structs.replace(_PERSON, key=_ID, scopes=("relay",))

    async def find_person(self, _user: str) -> KeyFacts | None:
        return _PERSON

    async def check(self, token: str) -> TokenFound | None:
        jkt = _HOLDER.thumbprint() if token == _BOUND else ""
        return TokenFound(_ID, "app-1", _ID, _ID, ("relay",), 2**40, Budget(5_000_000_000, "month"), jkt)

    async def send(self, *_request: object) -> Any:
        return self

    def ready(self) -> bytes:
        return b"ok"

    async def next(self) -> bytes:
        return b""

    def close(self) -> None:
        return


def _front() -> Front:
    everything = _Everything()
    finders = Finders(everything, everything, everything)

    async def management(*_request: object) -> None:
        raise AssertionError

    return Front(
        Authenticator(finders, KeyCache(time.monotonic), KeyHasher("pepper")),
        Proofs(_ORIGIN, time.time),
        Admission(Limiter(time.monotonic), Limiter(time.monotonic), 0, ()),
        PrincipalSigner("k1:" + "s" * 32),
        everything,
        Telemetry("gateway", "bench", "", 0.0),
        management,
    )


def _bearer(credential: str) -> Callable[[int], list[tuple[bytes, bytes]]]:
    headers = [(b"authorization", f"Bearer {credential}".encode())]
    return lambda _number: headers


def _proved(number: int) -> list[tuple[bytes, bytes]]:
    ath = base64.urlsafe_b64encode(hashlib.sha256(_BOUND.encode()).digest()).rstrip(b"=").decode()
    claims = {"jti": str(number), "htm": "POST", "htu": _ORIGIN + _PATH, "iat": time.time(), "ath": ath}
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": _HOLDER.as_dict(private=False)}
    proof = jwt.encode(head, claims, _HOLDER, algorithms=["ES256"])
    return [(b"authorization", f"DPoP {_BOUND}".encode()), (b"dpop", proof.encode())]


async def _request(front: Front, credential: list[tuple[bytes, bytes]]) -> None:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"{}"}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    common = [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"user-agent", b"bench")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": _PATH,
        "raw_path": _PATH.encode(),
        "query_string": b"",
        "headers": [*credential, *common],
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    await front(scope, receive, send)


async def _measure(rounds: int) -> dict[str, float]:
    front = _front()
    kinds = {"key": _bearer(_KEY), "token": _bearer(_TOKEN), "bound token": _proved}
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(rounds):
        for name, make in kinds.items():
            count = _REQUESTS // 10 if make is _proved else _REQUESTS
            sent: Sequence[Any] = [make(number * count + index) for index in range(count)]
            started_s = time.process_time()
            for credential in sent:
                await _request(front, credential)
            spent[name].append((time.process_time() - started_s) / count * 1e6)
    return {name: min(times) for name, times in spent.items()}


def measure(*, rounds: int = 15) -> dict[str, float]:
    """CPU µs of a request by kind of credential."""
    return asyncio.run(_measure(rounds))


def table(figures: dict[str, float]) -> str:
    """Markdown."""
    lines = ["| credential at the gateway | CPU µs a request | more than a key |", "|---|---|---|"]
    lines += [f"| {name} | {used:.1f} | {used - figures['key']:.1f} |" for name, used in figures.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print; exits non-zero over the bar."""
    parser = argparse.ArgumentParser(prog="bench.credentials", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    figures = measure(rounds=parser.parse_args(arguments).rounds)
    print(table(figures))
    raise SystemExit(figures["token"] - figures["key"] > BAR_US)


if __name__ == "__main__":
    main()
