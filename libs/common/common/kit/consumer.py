"""A durable pull consumer: explicit ack, backoff, and a dead-letter stream for what can never be applied."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from common.contracts.streams import Stream
from common.kit.bus import Bus
from common.kit.metrics import CONSUMED, CONSUMER_LAG
from common.kit.tasks import end_tasks

_LOG = logging.getLogger(__name__)
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

T = TypeVar("T")


class PoisonError(Exception):
    """This message can never be applied, however often it is tried; it goes to the DLQ stream."""


class DurableConsumer(Generic[T]):
    """Feeds batches of decoded messages to `handle`, at least once.

    When `handle` returns, the batch is acked. When it raises, the batch is redelivered with backoff, for
    ever: money waits for a database that is away. Batches come in stream order, but later ones do not wait
    for one that is being retried. A batch that fails with PoisonError is tried message by message, and those
    that are poison are copied to `dlq.<stream>.<durable>` and terminated.

    With `linger_s` messages may gather so long after a batch that was not full: the first after a pause is
    applied at once, and a steady trickle costs one transaction per linger instead of one per message.
    """

    def __init__(  # noqa: PLR0913  a consumer is its six facts
        self,
        bus: Bus,
        stream: Stream,
        durable: str,
        decode: Callable[[bytes], T],
        handle: Callable[[Sequence[T]], Awaitable[None]],
        *,
        subject: str | None = None,
        batch: int = 64,
        ack_wait_s: float = 30,
        linger_s: float = 0,
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._decode = decode
        self._handle = handle
        self._subject = subject or stream.subjects[0]
        self._batch = batch
        self._ack_wait_s = ack_wait_s
        self._linger_s = linger_s
        self._task: asyncio.Task[None] | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def start(self) -> None:
        """Declare the consumer and begin to pull."""
        config = ConsumerConfig(
            durable_name=self._durable,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=self._ack_wait_s,
            max_ack_pending=self._batch * 16,
        )
        subscription = await self._bus.jetstream.pull_subscribe(
            self._subject, durable=self._durable, stream=self._stream.name, config=config
        )
        self._subscription = subscription
        self._task = asyncio.create_task(self._run(subscription), name=f"consumer-{self._durable}")

    async def stop(self) -> None:
        """Stop at once; a batch under way is given up and redelivered to whoever comes next."""
        if self._task is not None:
            await end_tasks(self._task)
        if self._subscription is not None:
            # nats-py's drain waits for ever for the notices a pull subscription was sent between fetches.
            with suppress(NatsError, OSError):
                await self._subscription.unsubscribe()

    async def _run(self, subscription: JetStreamContext.PullSubscription) -> None:
        while True:
            try:
                with suppress(TimeoutError):
                    await self._once(subscription)
            except Exception as error:  # noqa: BLE001  whatever it is, a consumer that ends silently is worse
                _LOG.warning("consumer %s: cannot go on, tries again: %r", self._durable, error)
                await asyncio.sleep(_BACKOFF_S[1])  # the broker is away; nothing signals its return here

    async def _once(self, subscription: JetStreamContext.PullSubscription) -> None:
        messages = await subscription.fetch(self._batch, timeout=5)
        if not messages:  # nats-py's answer to two notices in a row that there is nothing
            return
        CONSUMER_LAG.labels(self._durable).set(messages[-1].metadata.num_pending)
        holding = asyncio.create_task(self._hold(messages))
        try:
            await self._apply(messages)
        finally:
            await end_tasks(holding)
        if self._linger_s and len(messages) < self._batch:
            await asyncio.sleep(self._linger_s)

    async def _hold(self, messages: list[Msg]) -> None:
        """Tell the broker that they are in hand: sent again, they would make what is slow still slower."""
        with suppress(NatsError, OSError):  # settled meanwhile, or the broker is away
            while True:
                await asyncio.sleep(self._ack_wait_s / 3)
                for message in messages:
                    await message.in_progress()

    async def _apply(self, messages: list[Msg]) -> None:
        try:
            decoded = [(message, self._decode(message.data)) for message in messages]
            await self._handle([value for _, value in decoded])
        except (PoisonError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if len(messages) == 1:
                await self._bury(messages[0], error)
                return
            for message in messages:
                await self._apply([message])
        except Exception:  # noqa: BLE001  whatever failed, the messages come again
            CONSUMED.labels(self._durable, "retried").inc(len(messages))
            _LOG.exception("consumer %s: %d messages will be retried", self._durable, len(messages))
            await self._settle(messages, retry=True)
        else:
            CONSUMED.labels(self._durable, "applied").inc(len(messages))
            await self._settle(messages, retry=False)

    async def _settle(self, messages: list[Msg], *, retry: bool) -> None:
        try:
            for message in messages:
                if retry:
                    tries = message.metadata.num_delivered
                    await message.nak(delay=_BACKOFF_S[min(tries, len(_BACKOFF_S)) - 1])
                else:
                    await message.ack()
        except (NatsError, OSError) as error:  # unacked messages come again and the inbox drops them
            _LOG.warning("consumer %s: cannot settle: %r", self._durable, error)

    async def _bury(self, message: Msg, error: Exception) -> None:
        subject = f"dlq.{self._stream.name}.{self._durable}"
        headers = {"tollway-error": repr(error)[:500], "tollway-subject": message.subject}
        _LOG.error("consumer %s: dead letter from %s: %r", self._durable, message.subject, error)
        CONSUMED.labels(self._durable, "dead").inc()
        try:
            await self._bus.jetstream.publish(subject, message.data, headers=headers)
            await message.term()
        except (NatsError, TimeoutError, OSError) as failure:
            _LOG.warning("consumer %s: dead letter not stored yet: %r", self._durable, failure)
