"""What a client library may answer does not end a consumer."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from nats.aio.msg import Msg

from common.contracts.streams import BILLING
from common.kit.bus import Bus
from common.kit.consumer import DurableConsumer


class Subscription:
    """Answers fetches from a list, then never again."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers

    async def fetch(self, _batch: int, timeout: float) -> list[Msg]:  # noqa: ARG002, ASYNC109  nats-py's
        if not self._answers:
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast("list[Msg]", answer)

    async def unsubscribe(self) -> None:
        pass


class Message:
    """A message with what a consumer reads of it."""

    data = b"fact"
    metadata = SimpleNamespace(num_pending=0, num_delivered=1)

    def __init__(self, acked: asyncio.Event) -> None:
        self._acked = acked

    async def ack(self) -> None:
        self._acked.set()


async def test_an_empty_answer_an_unforeseen_error_and_a_timeout_are_survived() -> None:
    acked = asyncio.Event()
    subscription = Subscription([[], IndexError("list index"), TimeoutError(), [], [Message(acked)]])

    async def subscribe(*_: Any, **__: Any) -> Subscription:
        return subscription

    bus = cast("Bus", SimpleNamespace(jetstream=SimpleNamespace(pull_subscribe=subscribe)))
    handled: list[bytes] = []

    async def handle(facts: Sequence[bytes]) -> None:
        handled.extend(facts)

    consumer = DurableConsumer(bus, BILLING, "sample", bytes, handle)
    await consumer.start()
    async with asyncio.timeout(10):
        await acked.wait()
    assert handled == [b"fact"]
    await consumer.stop()
