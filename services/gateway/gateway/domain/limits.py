"""Limits in this replica: requests per minute as a token bucket, and requests at a time."""

from collections import OrderedDict
from collections.abc import Callable

from common.contracts.errors import RateLimitedError
from common.contracts.principals import Limits

Headers = list[tuple[bytes, bytes]]

_MINUTE_S = 60.0


class LimitExceededError(RateLimitedError):
    """A limit was hit; `headers` are the `x-ratelimit-*` headers of the refusal."""

    def __init__(self, message: str, retry_after_s: float, headers: Headers) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.headers = headers


class _Usage:
    __slots__ = ("running", "seen_s", "tokens")

    def __init__(self, tokens: float, now_s: float) -> None:
        self.tokens = tokens
        self.seen_s = now_s
        self.running = 0


class Limiter:
    """State of up to `capacity` limited keys; the longest unused idle ones are forgotten first.

    `who` is what a refusal calls the limited one.
    """

    def __init__(self, clock: Callable[[], float], capacity: int = 100_000, who: str = "This key") -> None:
        self._clock = clock
        self._capacity = capacity
        self._who = who
        self._usage: OrderedDict[str, _Usage] = OrderedDict()

    def enter(self, key: str, limits: Limits) -> Headers:
        """Count one request in and return its `x-ratelimit-*` headers; LimitExceededError when over a limit.

        Each call that returns must be followed by `leave` with the same arguments.
        """
        if limits.rpm is None and limits.concurrency is None:
            return []
        now_s = self._clock()
        usage = self._usage.get(key)
        if usage is None:
            usage = self._usage[key] = _Usage(limits.rpm or 0, now_s)
            self._forget_idle()
        else:
            self._usage.move_to_end(key)
        if limits.concurrency is not None and usage.running >= limits.concurrency:
            raise LimitExceededError(f"{self._who} serves {limits.concurrency} requests at a time.", 1, [])
        headers = [] if limits.rpm is None else self._take(usage, limits.rpm, now_s)
        usage.running += 1
        return headers

    def leave(self, key: str, limits: Limits) -> None:
        """The request has ended."""
        if limits.rpm is None and limits.concurrency is None:
            return
        usage = self._usage.get(key)
        if usage is not None and usage.running > 0:
            usage.running -= 1

    def _take(self, usage: _Usage, rpm: int, now_s: float) -> Headers:
        rate = rpm / _MINUTE_S
        usage.tokens = min(float(rpm), usage.tokens + (now_s - usage.seen_s) * rate)
        usage.seen_s = now_s
        if usage.tokens < 1:
            wait_s = (1 - usage.tokens) / rate if rate else _MINUTE_S
            message = f"{self._who} is limited to {rpm} requests per minute."
            raise LimitExceededError(message, wait_s, _headers(rpm, usage.tokens))
        usage.tokens -= 1
        return _headers(rpm, usage.tokens)

    def _forget_idle(self) -> None:
        # A key with requests under way goes to the end instead, so a look at two shrinks what has grown.
        for _ in range(2):
            if len(self._usage) > self._capacity:
                key, usage = self._usage.popitem(last=False)
                if usage.running:
                    self._usage[key] = usage


def _headers(rpm: int, tokens: float) -> Headers:
    """OpenAI's names; the reset is the time until the bucket is full, as a duration in seconds."""
    reset_s = (rpm - tokens) * _MINUTE_S / rpm if rpm else _MINUTE_S
    return [
        (b"x-ratelimit-limit-requests", b"%d" % rpm),
        (b"x-ratelimit-remaining-requests", b"%d" % int(tokens)),
        (b"x-ratelimit-reset-requests", b"%.3fs" % reset_s),
    ]
