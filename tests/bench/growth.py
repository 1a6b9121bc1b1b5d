"""`python -m bench.growth [--rows 10000000]`: what a call costs on an empty ledger and on a full one.

Two ledgers in one run, each alone with its PostgreSQL and NATS: one stays empty, one is filled by SQL,
sealed, vacuumed and written out to the disk. Then both are measured in turn, `--rounds` times; the bar is a
median p99 within 1.3 times. Prints what a transfer weighs, how fast the chain is made and how long an audit
takes at that size, and how many bare transfers the SQL does.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bench import billing, processes
from bench.growth_fill import Filled, fill
from bench.processes import Suite
from bench.raw_transfers import raw_transfers
from common.contracts.principals import Principal
from common.kit.ids import uuid7
from common.kit.principal import PrincipalSigner

BAR = 1.3
PAIRS_A_SECOND = 300
RECORDS_A_SECOND = 1000
RAW_TRANSFERS = 20_000
_ADMIN_S = 3600
_PATIENCE_S = 900


def measure(suite: Suite, seconds: int) -> dict[str, float]:
    """p99 in milliseconds of lease pairs, and of usage up to its public event, at a rate both can keep."""
    pairs = billing.lease_pairs(suite, pairs=PAIRS_A_SECOND * seconds, rate=PAIRS_A_SECOND)
    usage = billing.usage_flow(suite, events=RECORDS_A_SECOND * seconds, rate=RECORDS_A_SECOND)
    return {"pairs_p99_ms": pairs.p99_ms, "usage_p99_ms": usage.p99_ms}


def ask(suite: Suite, method: str, path: str, body: object = None) -> Any:
    """The answer of billing to an administrator."""
    principal = Principal(
        account=uuid7(),
        user=uuid7(),
        spender=uuid7(),
        group="default",
        rate_micro=1_000_000,
        request_id="bench-growth",
        expires_at_s=int(time.time()) + _ADMIN_S,
        scopes=("account", "admin"),
    )
    headers = {"x-tollway-principal": PrincipalSigner(billing.KEYS).sign(principal).decode()}
    url = f"{suite.state['billing']}{path}"
    answer = httpx.request(method, url, json=body, headers=headers, timeout=_PATIENCE_S)
    answer.raise_for_status()
    return answer.json()


async def settle(superuser_dsn: str) -> float:
    """Wait until everything is sealed; seconds. Then vacuum, as the server does by itself in time, and let
    the disk take what the fill wrote: a ledger that grew in years has none of that waiting.
    """
    started = time.perf_counter()
    connection = await asyncpg.connect(superuser_dsn)
    try:
        last = await connection.fetchval("SELECT max(position) FROM usage_records")
        while (await connection.fetchval("SELECT max(last_position) FROM seals") or 0) < last:  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # reason: another process seals
        sealed_s = time.perf_counter() - started
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    os.sync()
    return sealed_s


def audits(suite: Suite) -> dict[str, Any]:
    """Seconds and outcome of an audit of everything, and of one month."""
    figures: dict[str, Any] = {}
    last_month = time.strftime("%Y-%m-01")
    for name, body in (("everything", {}), ("this month", {"from": last_month})):
        started = time.perf_counter()
        report = ask(suite, "POST", "/api/billing/audit", body)
        bad = [check for check in report["checks"] if not check["ok"]]
        figures[name] = {"seconds": time.perf_counter() - started, "ok": report["ok"], "bad": bad}
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures as the documents quote them."""
    filled = figures["filled"]
    lines = [
        f"filled {filled['transfers']:,} transfers, {filled['records']:,} records: {filled['seconds']:.0f} s",
        f"bytes with indexes: transfer {filled['transfer_bytes']:.0f}, record {filled['record_bytes']:.0f}",
        f"database {filled['database_bytes'] / 1e9:.2f} GB, {filled['accounts']:,} accounts",
        f"sealed in {figures['sealed_s']:.0f} s",
    ]
    for name, audit in figures["audits"].items():
        lines.append(f"audit of {name}: {audit['seconds']:.1f} s, {'ok' if audit['ok'] else audit['bad']}")
    for name in figures["rounds"]["empty"][0]:
        empty, full = ([one[name] for one in figures["rounds"][which]] for which in ("empty", "full"))
        ratio = statistics.median(full) / statistics.median(empty)
        each = "; ".join(f"{before:.1f} and {after:.1f}" for before, after in zip(empty, full, strict=True))
        lines.append(f"{name}: empty and full {each}: ratio of medians {ratio:.2f} (bar {BAR})")
    for count, published in billing.PGLEDGER.items():
        bare = [figures["raw_transfers_per_s"][name][count] for name in ("empty", "full")]
        lines.append(
            f"bare transfers a second, {count} accounts: empty {bare[0]:,.0f}, full {bare[1]:,.0f}"
            f" (pgledger publishes {published:,} on an M3 laptop)"
        )
    return "\n".join(lines)


async def _raw(suite: Suite) -> dict[str, float]:
    """Transfers a second of the bare SQL, by number of accounts as pgledger publishes them."""
    dsn, names = str(suite.state["dsn"]), billing.accounts()
    return {count: await raw_transfers(dsn, names[: int(count)], RAW_TRANSFERS) for count in billing.PGLEDGER}


def run(rows: int, accounts: int, seconds: int, rounds: int) -> dict[str, Any]:
    """Everything; the data goes away with it."""
    with ExitStack() as stack:
        suites = {}
        for name in ("empty", "full"):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-")))
            suites[name] = stack.enter_context(billing.ledger_alone(place))
        full = suites["full"].state
        filled: Filled = asyncio.run(fill(str(full["dsn"]), accounts, rows))
        print(f"{filled}; sealing", flush=True)
        sealed_s = asyncio.run(settle(str(full["superuser_dsn"])))
        print(f"sealed in {sealed_s:.0f} s; measuring", flush=True)
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in suites}
        for suite in suites.values():
            asyncio.run(billing.fund(suite))
            measure(suite, 2)  # plans, pools and pages are warm after this
        for _ in range(rounds):
            for name, suite in suites.items():
                measured[name].append(measure(suite, seconds))
                print(f"{name}: {measured[name][-1]}", flush=True)
        return {
            "filled": asdict(filled),
            "sealed_s": sealed_s,
            "rounds": measured,
            "raw_transfers_per_s": {name: asyncio.run(_raw(suite)) for name, suite in suites.items()},
            "audits": audits(suites["full"]),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print, write."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=processes.BUILD / "growth.json")
    settings = parser.parse_args(arguments)
    figures = run(settings.rows, settings.accounts, settings.seconds, settings.rounds)
    settings.json.parent.mkdir(parents=True, exist_ok=True)
    settings.json.write_text(json.dumps(figures, indent=1, default=str) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
