"""What an `Idempotency-Key` remembers (docs.stripe.com/api/idempotent_requests).

The first answer of a key, its status included and be it an error, is given again to the same request; another
request under that key is refused. Nothing is kept of a request that was refused before its endpoint ran.
"""

from collections import OrderedDict
from typing import Any, NamedTuple

from simulators.stripe.errors import StripeError, invalid

KEPT_KEYS = 10_000
MAX_KEY_LENGTH = 255


class Request(NamedTuple):
    """What must be the same for a key to be used again."""

    endpoint: str
    params: dict[str, Any]


class Answer(NamedTuple):
    """A status, a body, and the id of the request that was first given them."""

    status: int
    body: bytes
    request_id: str


class IdempotencyKeys:
    """The keys of one account, the last 10,000 of them."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Request, Answer | None]] = OrderedDict()

    def begin(self, key: str, request: Request) -> Answer | None:
        """The answer to give again, or None when the request is to be executed, then finished or forgotten.

        Raises `idempotency_error` (400) for another request, and 409 while the first is being executed.
        """
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            raise invalid(f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters")
        known = self._known.get(key)
        if known is None:
            self._known[key] = (request, None)
            if len(self._known) > KEPT_KEYS:
                self._known.popitem(last=False)
            return None
        first, answer = known
        if first != request:
            what = "parameters" if first.endpoint == request.endpoint else f"endpoint ({first.endpoint})"
            message = f"Idempotency key '{key}' was first used with other {what}; use a new one"
            raise StripeError(400, message, "idempotency_error", began=False)
        if answer is None:
            message = f"A request with idempotency key '{key}' is still in progress; try again later"
            raise StripeError(409, message, "idempotency_error", code="idempotency_key_in_use", began=False)
        return answer

    def finish(self, key: str, request: Request, answer: Answer) -> None:
        """Keeps the answer."""
        self._known[key] = (request, answer)

    def forget(self, key: str) -> None:
        """Frees the key of a request that was never executed."""
        self._known.pop(key, None)
