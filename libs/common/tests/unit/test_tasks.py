"""Background tasks end even when a cancellation is lost on the way."""

import asyncio

from common.kit.tasks import end_tasks


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    lost = 0
    begun = asyncio.Event()

    async def loop() -> None:
        nonlocal lost
        while True:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost > 2:
                    raise

    task = asyncio.create_task(loop())
    await begun.wait()
    async with asyncio.timeout(10):
        await end_tasks(task)
    assert task.cancelled()
    assert lost == 3


async def test_what_a_task_raises_or_returns_does_not_matter() -> None:
    async def fail() -> None:
        raise ValueError

    async def succeed() -> int:
        return 1

    tasks = [asyncio.create_task(fail()), asyncio.create_task(succeed())]
    await asyncio.wait(tasks)
    await end_tasks(*tasks)
    assert all(task.done() for task in tasks)
    await end_tasks()
