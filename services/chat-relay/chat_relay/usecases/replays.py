"""The same Idempotency-Key again: the first answer, byte for byte, and no second charge.

Only complete answers are remembered. A refusal cost nothing and an interrupted stream was charged for its
part: in both cases the key is forgotten and a retry is a new request.
"""

import logging
import time
from collections.abc import Awaitable, Callable

from chat_relay.domain.ports import Client, RawHeaders, ReplayStore
from chat_relay.domain.replays import MAX_BODY_BYTES, Remembered, check_repeat, digest_of, name_of
from chat_relay.usecases.relays import Inbound, Relay
from common.contracts.errors import ConflictError, UnavailableError

_LOG = logging.getLogger(__name__)


class _Recorder:
    """A client whose answer is kept while it is sent. It never leaves: the answer is wanted for the retry."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pieces: list[bytes] = []
        self._size = 0
        self.status = 0
        self.headers: RawHeaders = []

    @property
    def started(self) -> bool:
        """See `Client`."""
        return self._client.started

    @property
    def gone(self) -> bool:
        """See `Client`."""
        return self._client.gone

    async def start(self, status: int, headers: RawHeaders) -> None:
        """See `Client.start`."""
        self.status, self.headers = status, headers
        await self._client.start(status, headers)

    def write(self, chunk: bytes) -> Awaitable[None]:
        """See `Client.write`."""
        self._keep(chunk)
        return self._client.write(chunk)

    async def finish(self, chunk: bytes = b"") -> None:
        """See `Client.finish`."""
        self._keep(chunk)
        await self._client.finish(chunk)

    def watch(self, on_gone: Callable[[], object]) -> None:
        """See `Client.watch`."""
        self._client.watch(on_gone)

    def unwatch(self) -> None:
        """See `Client.unwatch`."""
        self._client.unwatch()

    def has_left(self) -> bool:
        """No: see the class."""
        return False

    def answer(self, first: Remembered) -> Remembered:
        """What is to be remembered of the answer."""
        if self._size > MAX_BODY_BYTES:
            return Remembered(first.digest, first.began_at_s, "large")
        body = b"".join(self._pieces)
        return Remembered(first.digest, first.began_at_s, "done", self.status, tuple(self.headers), body)

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= MAX_BODY_BYTES:
            self._pieces.append(chunk)
        else:
            self._pieces.clear()


class Replays:
    """Requests that carry an Idempotency-Key; the others never come here."""

    def __init__(self, relay: Relay, store: ReplayStore) -> None:
        self._relay = relay
        self._store = store

    async def answer(self, key: bytes, inbound: Inbound, client: Client) -> None:
        """As `Relay.answer`; also raises ConflictError (under way, too long to be kept), KeyReusedError, and
        UnavailableError while nothing can be remembered.
        """
        name = name_of(inbound.principal.spender, key)
        now_s = int(time.time())
        claim = Remembered(digest_of(inbound.operation, inbound.body), now_s)
        revision = await self._store.claim(name, claim)
        if revision is None:
            found = await self._store.find(name)
            if found is None:  # forgotten in this moment
                raise ConflictError("The request with this Idempotency-Key just failed.", retry_after_s=1)
            first, first_revision = found
            if check_repeat(first, claim.digest, now_s):
                await _repeat(first, inbound, client)
                return
            revision = await self._store.replace(name, claim, first_revision)
            if revision is None:
                raise ConflictError("The request with this Idempotency-Key is under way.", retry_after_s=1)
        await self._answer_first(name, claim, revision, inbound, client)

    async def _answer_first(
        self, name: str, claim: Remembered, revision: int, inbound: Inbound, client: Client
    ) -> None:
        recorder = _Recorder(client)
        kept = False
        try:
            outcome = await self._relay.answer(inbound, recorder)
            kept = outcome == "ok" and recorder.status == 200
        finally:
            try:
                if kept:
                    await self._store.replace(name, recorder.answer(claim), revision)
                else:
                    await self._store.forget(name, revision)
            except UnavailableError:
                _LOG.warning("an answer could not be remembered; its key stays busy for a while")


async def _repeat(first: Remembered, inbound: Inbound, client: Client) -> None:
    request_id = inbound.principal.request_id.encode()
    headers = [pair for pair in first.headers if pair[0] != b"x-request-id"]
    headers += [(b"x-request-id", request_id), (b"idempotent-replayed", b"true")]
    await client.start(first.status, headers)
    await client.finish(first.body)
