"""The watch on a client that may leave, stepped without a task of its own."""

import asyncio
from typing import Any

import pytest

from common.kit.asgi import DisconnectWatch


class Client:
    """A receive() that waits for what the test puts in."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self.messages.get()


async def _watched(client: Client, ready: asyncio.Event, watches: list[DisconnectWatch]) -> str:
    task = asyncio.current_task()
    assert task is not None
    watch = DisconnectWatch(client.receive, task.cancel)
    watches.append(watch)
    watch.start()
    ready.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "gone" if watch.gone else "cancelled"
    finally:
        watch.stop()
    return "never"


@pytest.mark.parametrize("early", [True, False])
async def test_a_disconnect_cancels_the_task_that_watches(early: bool) -> None:  # noqa: FBT001  a parameter
    client, ready = Client(), asyncio.Event()
    if early:
        client.messages.put_nowait({"type": "http.disconnect"})
    task = asyncio.create_task(_watched(client, ready, []))
    await ready.wait()
    client.messages.put_nowait({"type": "http.request"})
    client.messages.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(5):
        assert await task == "gone"


async def test_a_cancel_from_elsewhere_is_told_apart() -> None:
    ready = asyncio.Event()
    task = asyncio.create_task(_watched(Client(), ready, []))
    await ready.wait()
    task.cancel()
    assert await task == "cancelled"


async def test_a_stopped_watch_does_nothing_more() -> None:
    client, ready, watches = Client(), asyncio.Event(), list[DisconnectWatch]()
    task = asyncio.create_task(_watched(client, ready, watches))
    await ready.wait()
    client.messages.put_nowait({"type": "http.disconnect"})
    watches[0].stop()
    for _ in range(5):
        await asyncio.sleep(0)  # reason: gives a wrong callback its chance
    assert not task.done()
    assert not watches[0].gone
    task.cancel()
    assert await task == "cancelled"
