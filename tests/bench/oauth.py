"""Apps at work: charges and tokens, against one oauth and one billing process, PostgreSQL and NATS.

`python -m bench.oauth [--charges N] [--tokens N] [--callers 100] [--rate 500] [--json FILE]` prints, per
scenario, how many a second, how long one took, and the CPU of each process for one. The load shares the
machine. In a closed loop each caller waits for its answer before it asks again. In an open loop a request
begins when it is due, `rate` charges a second and a fifth of it tokens, and its time counts from then.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop

from bench import processes
from bench.billing import KEYS, Load, await_ready, fund, ledger_alone
from bench.processes import Suite
from bench.report import percentile_ms
from common.kit.db import Database
from common.kit.ids import uuid7
from oauth.adapters.postgres.store import PostgresStore
from oauth.domain.apps import App
from oauth.domain.codes import challenge_of
from oauth.domain.grants import Grant, Person, Spending
from oauth.domain.tokens import AccessToken, Code, Digester, Family, RefreshToken, generate

CALLERS = 100
RATE = 500
PEOPLE = 200
PEPPER = "bench-pepper-of-sixteen-bytes"
_VERIFIER = "v" * 64
_REDIRECT = "https://shop.example/back"
_FOREVER = timedelta(days=300)
TOKENS_OF_RATE = 5
"""One token for so many charges, in an open loop."""
Ask = Callable[[aiohttp.ClientSession, int], Awaitable[int]]
One = Callable[[int, float], Coroutine[Any, Any, None]]
"""Asks for a number; its time counts from the moment given, of time.perf_counter."""


@contextmanager
def apps_alone(data_dir: Path) -> Iterator[Suite]:
    """`ledger_alone` and one oauth process; `state` has `oauth`, its URL, besides."""
    with ledger_alone(data_dir) as suite:
        ports = processes.free_port(), processes.free_port()
        settings = {
            "port": ports[0],
            "ops_port": ports[1],
            "database_url": suite.state["oauth_dsn"],
            "nats_url": suite.state["nats"],
            "principal_keys": KEYS,
            "migrate": True,
            "issuer": "http://127.0.0.1:8080",
            "token_pepper": PEPPER,
            "secret_key": PEPPER,
            "log_level": "WARNING",
        }
        environment = {f"TOLLWAY_{name.upper()}": str(value) for name, value in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "common.kit.serve", "oauth"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )
        try:
            await_ready(process, ports[1])
            suite.groups["oauth"] = [psutil.Process(process.pid)]
            suite.state["oauth"] = f"http://127.0.0.1:{ports[0]}"
            yield suite
        finally:
            processes.stop(process)


class Fair:
    """One app and many people who let it charge, with money; written straight into the stores."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, 4)
        self._store = PostgresStore(self._database, lambda: None)
        self._digester = Digester(PEPPER)
        self._now = datetime.now(UTC)
        self.people = [Person(uuid7(), uuid7()) for _ in range(PEOPLE)]
        self.grants: list[Grant] = []
        self.tokens: list[str] = []
        self.app = App(
            id=uuid7(),
            client_id="shop",
            name="Shop",
            auth_method="none",
            redirect_uris=(_REDIRECT,),
            scopes=("charge", "offline_access"),
            fee_micro=50_000,
            created_at=self._now,
            updated_at=self._now,
        )

    async def open(self) -> None:
        """App, people, grants, and an access token of each."""
        spending = Spending(10**15, "month")
        async with self._store.transaction() as work:
            await work.apps.add(self.app)
            for person in self.people:
                await work.people.put(person)
                grant = Grant(
                    uuid7(), self.app.id, person.user, self.app.scopes, spending, self._now, self._now
                )
                await work.grants.add(grant)
                family = await self._family(work, grant)
                token = generate("toa_")
                digest = self._digester.digest(token)
                until = self._now + _FOREVER
                await work.tokens.add_tokens(
                    AccessToken(digest, family.id, ("charge",), self._now, until), None
                )
                self.grants.append(grant)
                self.tokens.append(token)

    async def codes(self, count: int) -> list[str]:
        """So many codes, each of a consent of its own."""
        made = []
        async with self._store.transaction() as work:
            for number in range(count):
                family, code = await self._family(work, self.grants[number % PEOPLE]), generate("toc_")
                digest, until = self._digester.digest(code), self._now + _FOREVER
                challenge = challenge_of(_VERIFIER)
                await work.tokens.add_code(Code(digest, family.id, _REDIRECT, challenge, until))
                made.append(code)
        return made

    async def refreshes(self, count: int) -> list[str]:
        """So many refresh tokens, each of a consent of its own."""
        made = []
        async with self._store.transaction() as work:
            for number in range(count):
                family, token = await self._family(work, self.grants[number % PEOPLE]), generate("tor_")
                digest, until = self._digester.digest(token), self._now + _FOREVER
                access = AccessToken(digest, family.id, ("charge",), self._now, until)
                await work.tokens.add_tokens(access, RefreshToken(digest, family.id, self._now, until))
                made.append(token)
        return made

    async def _family(self, work: Any, grant: Grant) -> Family:
        until = self._now + _FOREVER
        family = Family(uuid7(), grant.id, ("charge", "offline_access"), self._now, self._now, until)
        await work.tokens.add_family(family)
        return family

    async def close(self) -> None:
        """Its connections."""
        await self._database.close()


async def _closed_loop(suite: Suite, name: str, ask: Ask, numbers: range, callers: int) -> Load:
    """`callers` ask in turn for all the numbers."""
    waiting = iter(numbers)

    async def load(one: One) -> None:
        async def caller() -> None:
            for number in waiting:
                await one(number, time.perf_counter())

        await asyncio.gather(*(caller() for _ in range(callers)))

    return await _measured(suite, f"{name}, {callers} callers", ask, len(numbers), load)


async def _open_loop(suite: Suite, name: str, ask: Ask, numbers: range, rate: int) -> Load:
    """`rate` of the numbers a second, evenly spaced, however many are under way."""

    async def load(one: One) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for place, number in enumerate(numbers):
                due = began + place / rate
                await asyncio.sleep(due - time.perf_counter())  # reason: the schedule is what is measured
                tasks.create_task(one(number, due))

    return await _measured(suite, f"{name} at {rate}/s, open loop", ask, len(numbers), load)


async def _measured(
    suite: Suite, name: str, ask: Ask, count: int, load: Callable[[One], Awaitable[None]]
) -> Load:
    """What `load` meets; a request that fails ends the measurement."""
    pieces: list[float] = []
    async with aiohttp.ClientSession(
        str(suite.state["oauth"]), connector=aiohttp.TCPConnector(limit=0)
    ) as session:

        async def one(number: int, since: float) -> None:
            status = await ask(session, number)
            if status not in (200, 201):
                raise SystemExit(f"{name}: answered {status}")
            pieces.append(time.perf_counter() - since)

        before, began = suite.cpu_s(), time.perf_counter()
        await load(one)
        elapsed_s, after = time.perf_counter() - began, suite.cpu_s()
    cpu_us = {group: (after[group] - before[group]) / count * 1e6 for group in after}
    return Load(name, count / elapsed_s, percentile_ms(pieces, 0.5), percentile_ms(pieces, 0.99), cpu_us)


async def _measure(suite: Suite, charges: int, tokens: int, callers: int, rate: int) -> list[Load]:
    fair = Fair(str(suite.state["oauth_dsn"]))
    await fair.open()
    await fund(suite, names=[person.account for person in fair.people])

    async def charge(session: aiohttp.ClientSession, number: int) -> int:
        headers = {
            "authorization": f"Bearer {fair.tokens[number % PEOPLE]}",
            "idempotency-key": f"order-{number}",
        }
        async with session.post("/oauth/v1/charges", json={"amount": "0.01"}, headers=headers) as answer:
            await answer.read()
            return answer.status

    codes = await fair.codes(2 * tokens)
    form = {"grant_type": "authorization_code", "client_id": "shop", "code_verifier": _VERIFIER}

    async def redeem(session: aiohttp.ClientSession, number: int) -> int:
        async with session.post("/oauth/token", data=form | {"code": codes[number]}) as answer:
            await answer.read()
            return answer.status

    refreshes = await fair.refreshes(tokens)
    renewal = {"grant_type": "refresh_token", "client_id": "shop"}

    async def renew(session: aiohttp.ClientSession, number: int) -> int:
        async with session.post(
            "/oauth/token", data=renewal | {"refresh_token": refreshes[number]}
        ) as answer:
            await answer.read()
            return answer.status

    loads = [
        await _closed_loop(suite, "charges", charge, range(charges), callers),
        await _open_loop(suite, "charges", charge, range(charges, 2 * charges), rate),
        await _closed_loop(suite, "token issue", redeem, range(tokens), 16),
        await _closed_loop(suite, "token refresh", renew, range(tokens), 16),
        await _open_loop(suite, "token issue", redeem, range(tokens, 2 * tokens), rate // TOKENS_OF_RATE),
    ]
    await fair.close()
    return loads


def measure(*, charges: int, tokens: int, callers: int = CALLERS, rate: int = RATE) -> dict[str, Any]:
    """Start the parts, run the scenarios, stop."""
    with (
        tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder,
        apps_alone(Path(folder)) as suite,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        loads = runner.run(_measure(suite, charges, tokens, callers, rate))
    return {"loads": [asdict(load) for load in loads]}


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| apps | /s | p50 ms | p99 ms | CPU µs each |", "|---|---|---|---|---|"]
    for load in figures["loads"]:
        cpu = ", ".join(f"{name} {used:.0f}" for name, used in load["cpu_us"].items())
        lines.append(
            f"| {load['name']} | {load['per_s']:.0f} | {load['p50_ms']:.1f} | {load['p99_ms']:.1f} | {cpu} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print, write."""
    parser = argparse.ArgumentParser(prog="bench.oauth", description=__doc__)
    parser.add_argument("--charges", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--callers", type=int, default=CALLERS)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--json", type=Path)
    settings = parser.parse_args(arguments)
    figures = measure(
        charges=settings.charges, tokens=settings.tokens, callers=settings.callers, rate=settings.rate
    )
    if settings.json is not None:
        settings.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
