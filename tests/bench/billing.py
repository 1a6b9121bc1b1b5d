"""Billing alone on real PostgreSQL and NATS, under load from a process of its own.

`python -m bench.billing [--pairs N] [--events N] [--callers 256] [--json FILE]` prints, per scenario, what
was reached, how long a call took, and how much CPU each process spent on one operation: on a machine whose
cores all of them share, that tells what the wall clock cannot. It ends with the audit of the books.

For other benchmarks: `ledger_alone` starts the parts, `fund` gives the accounts money, `lease_pairs` and
`usage_flow` load a running suite, `raw_transfers` asks the bare SQL what a transfer costs.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import psutil

from bench import processes
from bench.billing_load import Measured, Spec, Spread, account_names
from bench.processes import Suite
from bench.raw_transfers import raw_transfers
from common.contracts.principals import Principal
from common.kit.ids import uuid7
from common.kit.principal import PrincipalSigner
from common.testing.nats import EVERYTHING, EmbeddedNats
from common.testing.postgres import SUPERUSER, EmbeddedPostgres

CALLERS = 256
ACCOUNTS = 1000
RATES = (1000, 2000)
"""Pairs a second of the open loops: what a call takes at a rate the machine can keep; others are left out."""
OPEN_S = 10
SPREADS: tuple[Spread, ...] = ("uniform", "zipf", "hot")
PGLEDGER = {"50": 10_637, "10": 7_559}
"""Transfers a second on so many accounts that pgledger's README publishes: 20 workers, M3 laptop."""
KEYS = "k1:bench-secret-of-sixteen-bytes"
_FUNDERS = 32
WAL_FILES = 32
"""Of 16 MB each: what the loads here write before they are used again."""


@dataclass(frozen=True)
class Load:
    """One scenario as measured.

    `per_s` counts pairs, or records until their public event; `accepted_per_s` records until JetStream had
    them. Milliseconds are of one call for pairs (the schedule's delay included when it is an open loop), of
    the way from publishing to the public event for usage. `cpu_us` is per pair or record and process.
    """

    name: str
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float] = field(default_factory=dict)
    accepted_per_s: float = 0.0


def accounts() -> list[str]:
    """The accounts the benchmark funds and spends from."""
    return account_names(ACCOUNTS)


def lease_pairs(
    suite: Suite, *, pairs: int, spread: Spread = "uniform", callers: int = CALLERS, rate: int = 0
) -> Load:
    """Reserve and return by RPC: `callers` in a closed loop, or `rate` pairs a second in an open one."""
    loop = f"open loop, {rate}/s" if rate else f"{callers} callers"
    spec = Spec("pairs", _nats_url(suite), pairs, spread, ACCOUNTS, callers, rate)
    return _run(suite, f"hold + settle pairs, {spread}, {loop}", spec)


def usage_flow(suite: Suite, *, events: int, spread: Spread = "uniform", rate: int = 0) -> Load:
    """Records from JetStream to the public event: all at once, or `rate` a second in an open loop."""
    loop = f"open loop, {rate}/s" if rate else "all at once"
    spec = Spec("usage", _nats_url(suite), events, spread, ACCOUNTS, rate=rate)
    return _run(suite, f"usage, {spread}, {loop}", spec)


def _nats_url(suite: Suite) -> str:
    return str(suite.state["nats"])


def _run(suite: Suite, name: str, spec: Spec) -> Load:
    before = suite.cpu_s()
    answer = subprocess.run(
        [sys.executable, "-m", "bench.billing_load", msgspec.json.encode(spec).decode()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    after = suite.cpu_s()
    measured = msgspec.json.decode(answer.stdout, type=Measured)
    used = {group: after[group] - before[group] for group in after} | {"load": measured.cpu_s}
    return Load(
        name,
        spec.count / measured.elapsed_s,
        measured.p50_ms,
        measured.p99_ms,
        {group: seconds / spec.count * 1e6 for group, seconds in used.items()},
        spec.count / measured.accepted_s if measured.accepted_s else 0.0,
    )


@contextmanager
def ledger_alone(data_dir: Path) -> Iterator[Suite]:
    """PostgreSQL, NATS and one billing process; `state` has `billing` (its URL), `nats`, `dsn`.

    `oauth_dsn` is an empty database for who adds an oauth.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    data_dir.chmod(0o711)
    postgres = EmbeddedPostgres(data_dir / "postgres", settings={"min_wal_size": f"{WAL_FILES * 16}MB"})
    nats = EmbeddedNats(data_dir / "nats", users={"bench": EVERYTHING})
    with ExitStack() as stack:
        for server in (postgres, nats):
            server.start()
            stack.callback(server.remove)
        for name in ("billing", "oauth"):
            postgres.ensure_database(name, name)
        asyncio.run(_fill_wal(postgres.dsn("postgres", SUPERUSER)))
        ports = processes.free_port(), processes.free_port()
        settings = {
            "port": ports[0],
            "ops_port": ports[1],
            "database_url": postgres.dsn("billing", "billing"),
            "nats_url": nats.url("bench"),
            "principal_keys": KEYS,
            "migrate": True,
            "seed_prices": False,
            "log_level": "WARNING",
        }
        environment = {f"TOLLWAY_{name.upper()}": str(value) for name, value in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "common.kit.serve", "billing"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )
        stack.callback(processes.stop, process)
        await_ready(process, ports[1])
        suite = Suite(f"http://127.0.0.1:{ports[0]}", "")
        suite.state = {
            "billing": suite.url,
            "nats": nats.url("bench"),
            "dsn": postgres.dsn("billing", "billing"),
            "superuser_dsn": postgres.dsn("billing"),
            "oauth_dsn": postgres.dsn("oauth", "oauth"),
        }
        pids = {"billing": process.pid, "postgres": postgres.pid, "nats": nats.pid}
        suite.groups = {name: [psutil.Process(pid)] for name, pid in pids.items()}
        yield suite


def await_ready(process: "subprocess.Popen[bytes]", ops_port: int, timeout_s: float = 60) -> None:
    """Wait until a service of ours is; SystemExit when it is not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{ops_port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # reason: another process is starting
    raise SystemExit("a service did not become ready")


def _administrator(suite: Suite) -> httpx.AsyncClient:
    principal = Principal(
        account=uuid7(),
        user=uuid7(),
        spender=uuid7(),
        group="default",
        rate_micro=1_000_000,
        request_id="bench-administrator",
        expires_at_s=int(time.time()) + 600,
        scopes=("account", "admin"),
    )
    headers = {"x-tollway-principal": PrincipalSigner(KEYS).sign(principal).decode()}
    return httpx.AsyncClient(base_url=str(suite.state["billing"]), headers=headers, timeout=120)


async def _fill_wal(dsn: str) -> None:
    """Leave WAL files to use again, as a server that has run for a while has.

    A new one is written and synchronised with the first commit that needs it, and every commit waits.
    """
    driver = await asyncpg.connect(dsn)
    for _ in range(WAL_FILES):
        await driver.execute("SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()")
    await driver.execute("CHECKPOINT")
    await driver.close()


async def fund(suite: Suite, amount: str = "1000000", names: Sequence[str] = ()) -> None:
    """Give every account of the benchmark money, or these, as an administrator does."""
    turn = asyncio.Semaphore(_FUNDERS)
    async with _administrator(suite) as client:

        async def top_up(account: str) -> None:
            body = {"account": account, "amount": amount, "reason": "benchmark"}
            async with turn:
                answer = await client.post("/api/billing/topups", json=body)
                answer.raise_for_status()

        await asyncio.gather(*(top_up(account) for account in names or accounts()))


async def audit(suite: Suite) -> list[str]:
    """The names of the audit's checks that do not hold."""
    async with _administrator(suite) as client:
        answer = await client.post("/api/billing/audit", json={})
        answer.raise_for_status()
        return [check["name"] for check in answer.json()["checks"] if not check["ok"]]


def measure(*, pairs: int, events: int, callers: int = CALLERS) -> dict[str, Any]:
    """Everything about billing alone; `loads` are Load as dictionaries."""
    loads: list[Load] = []
    with ledger_alone(Path(tempfile.mkdtemp(prefix="tollway-bench-"))) as suite:
        memory_mb = suite.rss_mb()
        asyncio.run(fund(suite))
        lease_pairs(suite, pairs=pairs // 10)  # plans, pools and pages are warm after this
        loads += [lease_pairs(suite, pairs=pairs, spread=spread, callers=callers) for spread in SPREADS]
        for rate in (rate for rate in RATES if rate <= loads[0].per_s):
            loads.append(lease_pairs(suite, pairs=min(pairs, rate * OPEN_S), rate=rate))
        loads += [usage_flow(suite, events=events, spread=spread) for spread in SPREADS]
        rate = int(loads[-len(SPREADS)].per_s / 2)
        loads.append(usage_flow(suite, events=events // 2, rate=rate))
        dsn = str(suite.state["dsn"])
        raw = {name: asyncio.run(raw_transfers(dsn, accounts()[: int(name)], pairs)) for name in PGLEDGER}
        broken = asyncio.run(audit(suite))
    return {
        "loads": [asdict(load) for load in loads],
        "raw_transfers_per_s": raw,
        "idle_mb": memory_mb["billing"],
        "broken_checks": broken,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people, in Markdown."""
    groups = ("billing", "postgres", "nats", "load")
    lines = [
        f"| billing alone | per s | p50 ms | p99 ms | {' | '.join(f'{name} µs' for name in groups)} |",
        f"|---|{'--:|' * (3 + len(groups))}",
    ]
    for load in figures["loads"]:
        accepted = load["accepted_per_s"]
        name = load["name"] + (f" (accepted {accepted:,.0f}/s)" if accepted else "")
        cells = [f"{load['per_s']:,.0f}", f"{load['p50_ms']:.1f}", f"{load['p99_ms']:.1f}"]
        cells += [f"{load['cpu_us'][group]:.0f}" for group in groups]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, per_s in figures["raw_transfers_per_s"].items():
        peer = f"pgledger publishes {PGLEDGER[name]:,}/s on an M3 laptop"
        lines.append(f"| bare transfers, {name} accounts ({peer}) | {per_s:,.0f} |{' |' * (2 + len(groups))}")
    broken = ", ".join(figures["broken_checks"])
    lines += [
        "",
        f"Idle memory of billing: {figures['idle_mb']:.0f} MB. Audit: {broken or 'every check holds'}.",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print, write; exits 1 when the audit finds something."""
    parser = argparse.ArgumentParser(prog="bench.billing", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--callers", type=int, default=CALLERS)
    parser.add_argument("--json", type=Path)
    settings = parser.parse_args(arguments)
    figures = measure(pairs=settings.pairs, events=settings.events, callers=settings.callers)
    print(table(figures))
    if settings.json:
        settings.json.write_text(json.dumps(figures, indent=1) + "\n")
    if figures["broken_checks"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
