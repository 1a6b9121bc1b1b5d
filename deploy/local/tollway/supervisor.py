"""Starts parts as soon as those they wait for are ready, watches them, and stops them in their own order.

Nothing is restarted: a part that dies takes the suite down, said aloud, since a restart that nobody sees
hides what went wrong. The parts' blocking starts and stops run in threads of one pool, which live as long as
the parts do, since the kernel signals a child when the thread that made it ends.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from common.testing.server_process import ServerError
from tollway.child import Part, obituary

IMPATIENT_S = 0.2


class SuiteFailedError(Exception):
    """The suite cannot start or go on; the message is one line fit for an operator."""


@dataclass(frozen=True)
class Member:
    """A part and its place: it starts when all of `starts_after` are ready, and is asked to stop when all of
    `stops_after` are gone.
    """

    name: str
    part: Part
    starts_after: tuple[str, ...] = ()
    stops_after: tuple[str, ...] = ()


Report = Callable[[str, str, float], None]
"""`report(name, step, seconds)`: step is starting, ready, stopping or stopped, seconds how long it took."""


class Supervisor:
    """Runs the members of a suite once. `on_ready` is awaited when all are ready and may raise
    SuiteFailedError; it is cancelled when the suite stops.
    """

    def __init__(
        self, members: Sequence[Member], report: Report, on_ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._members = members
        self._report = report
        self._on_ready = on_ready
        self._news = asyncio.Event()  # a signal came or a child went
        self._stop_asked = False
        self._ending = False
        self._pool = ThreadPoolExecutor(len(members), thread_name_prefix="part")

    async def run(self) -> None:
        """Start, serve until SIGINT, SIGTERM or SIGHUP, stop. SuiteFailedError when the suite fails. No
        process is left when this returns or raises. A second signal while stopping is answered with SIGKILL.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ask_to_stop)
        loop.add_signal_handler(signal.SIGCHLD, self._news.set)
        try:
            await self._start_all()
            await self._watch()
        finally:
            await self._stop_all()
            self._pool.shutdown()

    def _ask_to_stop(self) -> None:
        if self._stop_asked:
            for member in self._members:
                member.part.kill()
        self._stop_asked = True
        self._news.set()

    async def _start_all(self) -> None:
        loop = asyncio.get_running_loop()
        tasks: dict[str, asyncio.Task[None]] = {}

        async def start(member: Member) -> None:
            await asyncio.gather(*(tasks[name] for name in member.starts_after))
            if self._ending:
                return
            began_s = time.monotonic()
            self._report(member.name, "starting", 0)
            await loop.run_in_executor(self._pool, member.part.start)
            self._report(member.name, "ready", time.monotonic() - began_s)

        for member in self._members:
            tasks[member.name] = asyncio.create_task(start(member))
        everything = asyncio.gather(*tasks.values())
        while not everything.done() and not self._stop_asked:
            await self._wait_for_news(everything)
        self._ending = self._stop_asked or everything.exception() is not None
        while unfinished := [member for member in self._members if not tasks[member.name].done()]:
            for member in unfinished:
                member.part.kill()  # again and again, as it may be between two of its programs
            await asyncio.wait([tasks[member.name] for member in unfinished], timeout=IMPATIENT_S)
        error = everything.exception()
        if self._stop_asked or error is None:
            return
        raise SuiteFailedError(str(error)) if isinstance(error, ServerError) else error

    async def _watch(self) -> None:
        """Until a wish to stop; SuiteFailedError when a part dies."""
        ready = asyncio.ensure_future(self._on_ready())
        try:
            while not self._stop_asked:
                for member in self._members:
                    if not member.part.running:
                        raise SuiteFailedError(f"{member.name} died: {obituary(member.part)}")
                await self._wait_for_news(ready)
                if ready.done():
                    await ready
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)

    async def _wait_for_news(self, future: "asyncio.Future[Any]") -> None:
        """Until `future` is done, a signal came or a child went; what was done before does not count."""
        news = asyncio.create_task(self._news.wait())
        await asyncio.wait([news] if future.done() else [news, future], return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        self._news.clear()

    async def _stop_all(self) -> None:
        loop = asyncio.get_running_loop()
        tasks: dict[str, asyncio.Task[None]] = {}

        async def stop(member: Member) -> None:
            await asyncio.gather(*(tasks[name] for name in member.stops_after), return_exceptions=True)
            began_s = time.monotonic()
            was_running = member.part.running
            if was_running:
                self._report(member.name, "stopping", 0)
            await loop.run_in_executor(self._pool, member.part.stop)
            if was_running:
                self._report(member.name, "stopped", time.monotonic() - began_s)

        for member in self._members:
            tasks[member.name] = asyncio.create_task(stop(member))
        outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
        failures = [str(outcome) for outcome in outcomes if outcome is not None]
        if failures:
            raise SuiteFailedError("; ".join(failures))
