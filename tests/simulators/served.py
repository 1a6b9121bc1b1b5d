"""The simulator's own books: what it really served, and the requests as they arrived.

Audits compare the first with usage records and ledger, transparency tests the second byte for byte.
"""

import base64
import hashlib
from collections import Counter, OrderedDict, deque
from typing import Any, Literal

import msgspec

from simulators.faults import Faults
from simulators.wire import Connection

Outcome = Literal["open", "complete", "cut", "client_gone", "error"]

KEPT_IDS = 20_000
KEPT_REQUESTS = 200
KEPT_BODY_BYTES = 1024 * 1024


class Serving(msgspec.Struct):
    """What was served under one request id: tokens that were written to the socket, over all its attempts."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    outcome: Outcome = "open"


class Served:
    """Counts and recordings of one process; all memory is bounded by the `KEPT_` limits of this module."""

    def __init__(self, *, recording: bool = True) -> None:
        self.recording = recording
        self.default_faults = Faults()
        self.open = 0
        self.reset()

    def reset(self) -> None:
        """Forgets everything but the default faults and the answers still open."""
        self.requests = 0
        self.errors = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.attempts: Counter[str] = Counter()
        self._by_id: OrderedDict[str, Serving] = OrderedDict()
        self._recent: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)

    def begin(self, request_id: str, prompt_tokens: int) -> "OpenServing":
        """Enters an answer with status 200 whose first byte is about to leave."""
        self.requests += 1
        self.open += 1
        self.prompt_tokens += prompt_tokens
        serving = self._by_id.get(request_id) or Serving()
        serving.requests += 1
        serving.prompt_tokens += prompt_tokens
        serving.outcome = "open"
        if self.recording:
            self._by_id[request_id] = serving
            if len(self._by_id) > KEPT_IDS:
                self._by_id.popitem(last=False)
        return OpenServing(self, serving)

    def record(self, connection: Connection, body: bytes) -> None:
        """Keeps the request as it arrived; a body over 1 MB leaves its size and hash only."""
        if not self.recording:
            return
        keep = len(body) <= KEPT_BODY_BYTES
        self._recent.append(
            {
                "method": connection.method,
                "path": connection.path,
                "query": connection.query,
                "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in connection.raw_headers],
                "body_bytes": len(body),
                "body_sha256": hashlib.sha256(body).hexdigest(),
                "body_base64": base64.b64encode(body).decode() if keep else None,
            }
        )

    def effective(self, faults: Faults, model: str) -> Faults:
        """`faults` as they stand for this attempt: the configured default, and healed after `first-<n>`."""
        if faults == Faults():
            faults, model = self.default_faults, "default"
        if faults.first is None:
            return faults
        self.attempts[model] += 1
        return faults if self.attempts[model] <= faults.first else faults.healed()

    def totals(self) -> dict[str, Any]:
        """The answer of `GET /_sim/served`."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "open": self.open,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "by_id": self._by_id,
        }

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The last `limit` requests (at most 200), oldest first."""
        return list(self._recent)[-limit:] if limit > 0 else []


class OpenServing:
    """An answer being written; the totals grow with every piece, so that they are right at any moment."""

    def __init__(self, served: Served, serving: Serving) -> None:
        self._served = served
        self._serving = serving

    def deliver(self, completion_tokens: int) -> None:
        """Counts tokens that have just been written."""
        self._serving.completion_tokens += completion_tokens
        self._served.completion_tokens += completion_tokens

    def end(self, outcome: Outcome) -> None:
        """Closes the answer."""
        self._serving.outcome = outcome
        self._served.open -= 1
