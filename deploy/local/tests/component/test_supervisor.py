"""The supervisor with small real children: order, failure, impatience."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tollway.child import ChildProcess
from tollway.supervisor import Member, SuiteFailedError, Supervisor

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
POLITE = "import signal; print('up', flush=True); signal.pause()"
BROKEN = "raise SystemExit('no luck')"


class Stage:
    """Members made of one-line programs, and what was reported of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.reports: list[str] = []

    def report(self, name: str, step: str, _seconds: float) -> None:
        self.reports.append(f"{name} {step}")

    def member(
        self, name: str, program: str, starts_after: tuple[str, ...] = (), stops_after: tuple[str, ...] = ()
    ) -> Member:
        log = self._folder / f"{name}.log"

        def lacks() -> str:
            return "" if "up" in log.read_text() else "it is not up"

        child = ChildProcess(name, [sys.executable, "-c", program], log, dict, lacks)
        return Member(name, child, starts_after, stops_after)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_parts_start_after_what_they_need_and_stop_before_it(stage: Stage) -> None:
    async def stop_at_once() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    members = [
        stage.member("front", POLITE, starts_after=("base",)),
        stage.member("base", POLITE, stops_after=("front",)),
    ]
    await Supervisor(members, stage.report, stop_at_once).run()
    steps = ("starting", "ready")
    assert stage.reports[:4] == [f"{name} {step}" for name in ("base", "front") for step in steps]
    steps = ("stopping", "stopped")
    assert stage.reports[4:] == [f"{name} {step}" for name in ("front", "base") for step in steps]
    assert not any(member.part.running for member in members)


async def test_a_part_that_cannot_start_ends_the_others_and_is_quoted(stage: Stage) -> None:
    async def never() -> None:
        pytest.fail("the suite is not ready")

    members = [stage.member("whole", POLITE), stage.member("broken", BROKEN, starts_after=("whole",))]
    with pytest.raises(SuiteFailedError, match=r"^broken died while starting: exit code 1; .*no luck"):
        await Supervisor(members, stage.report, never).run()
    assert not any(member.part.running for member in members)


async def test_a_second_signal_does_not_wait_for_a_part_that_is_deaf(stage: Stage) -> None:
    asked = asyncio.Event()

    def report(name: str, step: str, seconds: float) -> None:
        stage.report(name, step, seconds)
        if step == "stopping":
            asked.set()

    async def stop_at_once() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    members = [stage.member("deaf", DEAF)]
    run = asyncio.create_task(Supervisor(members, report, stop_at_once).run())
    await asked.wait()
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(10):  # its patience would be 25 s
        await run
    assert not members[0].part.running
