"""Webhook endpoints and what is sent to them: signed by Stripe's v1 scheme, and badly on demand.

Signature (docs.stripe.com/webhooks#verify-manually): `t=…,v1=…`, HMAC-SHA256 over `{t}.{body}` keyed by the
whole `whsec_…` text. Events go to loopback addresses only.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import time
from collections import deque
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec

Object = dict[str, Any]
Mode = Literal["normal", "duplicate", "reorder", "late", "concurrent", "drop", "bad_signature", "stale"]

KEPT_DELIVERIES = 5000
KEPT_ANSWER_BYTES = 1024
MAX_ENDPOINTS = 16
ATTEMPT_S = 10
STALE_S = 3600
COPIES = {"duplicate": 2, "concurrent": 10}
WRONG_SECRET = "whsec_of_somebody_else"


class Sending(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How events are sent.

    `delay_s` concerns late and reorder, `copies` duplicate (2) and concurrent (10). An answer that is not
    2xx is tried again until `attempts` are used up, the first time after `backoff_s`, then twice as long.
    """

    webhooks: Mode = "normal"
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    copies: Annotated[int, msgspec.Meta(ge=1, le=200)] | None = None
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 4
    backoff_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.1


class Endpoint:
    """A webhook endpoint: the object as the API shows it, its secret, and its turn in which events arrive."""

    def __init__(self, shown: Object, secret: str) -> None:
        self.shown = shown
        self.secret = secret
        self.turn = asyncio.Lock()

    def wants(self, kind: str) -> bool:
        """Whether events of this type are sent here."""
        enabled = self.shown["enabled_events"]
        return self.shown["status"] == "enabled" and (kind in enabled or "*" in enabled)


class Delivery:
    """One event for one endpoint, sent in one way."""

    def __init__(self, event: Object, endpoint: Endpoint, sending: Sending) -> None:
        self.event = event
        self.endpoint = endpoint
        self.sending = sending
        # indented as at Stripe: a receiver that encodes the body anew before it verifies must fail here too
        self.payload = msgspec.json.format(msgspec.json.encode(event), indent=2)

    def signature(self) -> str:
        """The header of an attempt made now; `v0` is the decoy that test mode sends along."""
        mode = self.sending.webhooks
        timestamp = int(time.time()) - (STALE_S if mode == "stale" else 0)
        secret = WRONG_SECRET if mode == "bad_signature" else self.endpoint.secret
        return f"t={timestamp},v1={_sign(timestamp, self.payload, secret)},v0={'0' * 64}"


class Webhooks:
    """The endpoints, and the sending. Events arrive in order, but for the modes that say otherwise."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.sending = Sending()
        self._made: deque[Object] = deque(maxlen=KEPT_DELIVERIES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: list[Delivery] = []
        self._batch: list[Delivery] = []
        self._timers: list[asyncio.TimerHandle] = []

    def wanting(self, kind: str) -> int:
        """How many endpoints get events of this type."""
        return sum(endpoint.wants(kind) for endpoint in self.endpoints.values())

    def publish(self, event: Object, sending: Sending | None = None) -> None:
        """Sends the event to every endpoint that wants it, as `sending` or the configuration says."""
        for endpoint in self.endpoints.values():
            if endpoint.wants(event["type"]):
                self._deliver(Delivery(event, endpoint, sending or self.sending))

    def flush(self) -> None:
        """Sends now what is held back: late events in order, then the batch to be reordered, newest first."""
        for timer in self._timers:
            timer.cancel()
        held = [*self._late, *reversed(self._batch)]
        self._timers, self._late, self._batch = [], [], []
        for delivery in held:
            self._start(delivery)

    async def settle(self, timeout_s: float) -> bool:
        """Waits until nothing is under way, retries included, held events not; False after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.monotonic())
        return not self._tasks

    def close(self) -> None:
        """Ends everything under way."""
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()

    def report(self, event_id: str | None) -> Object:
        """What was sent (of one event, or of all), oldest first, and how much is under way or held back."""
        return {
            "under_way": len(self._tasks),
            "held": len(self._late) + len(self._batch),
            "deliveries": [made for made in self._made if event_id in (None, made["event"])],
        }

    def _deliver(self, delivery: Delivery) -> None:
        sending = delivery.sending
        match sending.webhooks:
            case "drop":
                self._record(delivery, 0, 0, outcome="dropped", signature="")
            case "late":
                self._late.append(delivery)
                self._later(sending.delay_s, lambda: self._release(delivery))
            case "reorder":
                self._batch.append(delivery)
                if len(self._batch) == 1:
                    self._later(sending.delay_s, self._release_batch)
            case _:
                self._start(delivery)

    def _later(self, delay_s: float, release: Any) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [timer for timer in self._timers if timer.when() > loop.time()]
        self._timers.append(loop.call_later(delay_s, release))

    def _release(self, delivery: Delivery) -> None:
        self._late.remove(delivery)
        self._start(delivery)

    def _release_batch(self) -> None:
        batch, self._batch = self._batch, []
        for delivery in reversed(batch):
            self._start(delivery)

    def _start(self, delivery: Delivery) -> None:
        copies = COPIES.get(delivery.sending.webhooks, 1)
        if copies > 1 and delivery.sending.copies is not None:
            copies = delivery.sending.copies
        for number in range(1, copies + 1):
            task = asyncio.create_task(self._attempts(delivery, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _attempts(self, delivery: Delivery, number: int) -> None:
        sending = delivery.sending
        for attempt in range(1, sending.attempts + 1):
            if attempt > 1:
                await asyncio.sleep(sending.backoff_s * 2 ** (attempt - 2))
            if attempt > 1 or sending.webhooks == "concurrent":
                arrived = await self._attempt(delivery, number, attempt)
            else:
                async with delivery.endpoint.turn:
                    arrived = await self._attempt(delivery, number, attempt)
            if arrived:
                return

    async def _attempt(self, delivery: Delivery, number: int, attempt: int) -> bool:
        signature = delivery.signature()
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "stripe-signature": signature,
        }
        result: Object
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ATTEMPT_S)) as session,
                session.post(
                    delivery.endpoint.shown["url"],
                    data=delivery.payload,
                    headers=headers,
                    allow_redirects=False,
                ) as answer,
            ):
                body = await answer.content.read(KEPT_ANSWER_BYTES)
                result = {
                    "outcome": "delivered" if 200 <= answer.status < 300 else "refused",
                    "status": answer.status,
                    "answer": body.decode(errors="replace"),
                }
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            result = {"outcome": "failed", "error": f"{type(error).__name__}: {error}"}
        self._record(delivery, number, attempt, signature=signature, **result)
        return bool(result["outcome"] == "delivered")

    def _record(self, delivery: Delivery, number: int, attempt: int, **result: Any) -> None:
        self._made.append(
            {
                "event": delivery.event["id"],
                "type": delivery.event["type"],
                "object": delivery.event["data"]["object"].get("id"),
                "endpoint": delivery.endpoint.shown["id"],
                "mode": delivery.sending.webhooks,
                "copy": number,
                "attempt": attempt,
                "status": None,
                "answer": None,
                "error": None,
                **result,
            }
        )


def is_loopback(url: str) -> bool:
    """Whether an event may be sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https"):
            return False
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sign(timestamp: int, payload: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), b"%d.%s" % (timestamp, payload), hashlib.sha256).hexdigest()
