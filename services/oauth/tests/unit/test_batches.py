"""Who charges at the same time goes the same way together, and holds nobody up."""

import asyncio
from collections.abc import Callable
from typing import Any

from oauth.usecases.batches import Gate

Leave = Callable[[], None]


async def settle() -> None:
    """Let everything that is ready go on."""
    for _ in range(5):
        await asyncio.sleep(0)  # reason: one turn of the loop


def come(gate: Gate, count: int) -> list[asyncio.Task[Leave]]:
    return [asyncio.create_task(gate.enter()) for _ in range(count)]


def inside(tasks: list[asyncio.Task[Any]]) -> int:
    return sum(task.done() and not task.cancelled() for task in tasks)


async def test_who_comes_in_one_turn_goes_in_together_and_the_rest_after_the_first_of_them_leaves() -> None:
    gate = Gate()
    first = come(gate, 3)
    await settle()
    second = come(gate, 2)
    await settle()
    second += come(gate, 2)
    await settle()
    assert (inside(first), inside(second)) == (3, 0)
    leave = first[0].result()
    leave()
    await settle()
    assert inside(second) == 4
    third = come(gate, 1)
    for task in first:
        task.result()()
    await settle()
    assert inside(third) == 0, "a group that is over makes no room a second time"
    second[3].result()()
    await settle()
    assert inside(third) == 1


async def test_a_group_that_does_not_leave_holds_nobody_up_for_long() -> None:
    gate = Gate()
    await gate.enter()
    async with asyncio.timeout(5):
        leave = await gate.enter()
    leave()
    async with asyncio.timeout(0.05):
        await gate.enter()


async def test_who_went_away_while_waiting_takes_no_room() -> None:
    gate = Gate()
    leave = await gate.enter()
    gone = come(gate, 2)
    await settle()
    for task in gone:
        task.cancel()
    await settle()
    leave()
    async with asyncio.timeout(0.05):
        await gate.enter()
