"""`python -m bench.growth [--rows 10000000]`: what a call costs on an empty ledger and on a full one.

Two ledgers in one run, each alone with its PostgreSQL and NATS: the first is measured empty, the second after
it was filled by SQL, sealed and vacuumed; then the first once more, so that a machine that got busier shows.
The bar is p99 within 1.3 times. Prints what a transfer weighs, how fast the chain is made and how long an
audit takes at that size, and how many bare transfers the SQL does.
"""

import argparse
import asyncio
import json
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


async def settle(dsn: str) -> float:
    """Wait until everything is sealed; seconds. Then vacuum, as the server does by itself in time."""
    started = time.perf_counter()
    connection = await asyncpg.connect(dsn)
    try:
        last = await connection.fetchval("SELECT max(position) FROM usage_records")
        while (await connection.fetchval("SELECT max(last_position) FROM seals") or 0) < last:  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # reason: another process seals
        sealed_s = time.perf_counter() - started
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
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
    filled, empty, full, again = (figures[name] for name in ("filled", "empty", "full", "empty_again"))
    lines = [
        f"filled {filled['transfers']:,} transfers, {filled['records']:,} records: {filled['seconds']:.0f} s",
        f"bytes with indexes: transfer {filled['transfer_bytes']:.0f}, record {filled['record_bytes']:.0f}",
        f"database {filled['database_bytes'] / 1e9:.2f} GB, {filled['accounts']:,} accounts",
        f"sealed in {figures['sealed_s']:.0f} s",
    ]
    for name, audit in figures["audits"].items():
        lines.append(f"audit of {name}: {audit['seconds']:.1f} s, {'ok' if audit['ok'] else audit['bad']}")
    for name in empty:
        ratio = full[name] / ((empty[name] + again[name]) / 2)
        lines.append(
            f"{name}: empty {empty[name]:.2f} and {again[name]:.2f}, full {full[name]:.2f},"
            f" ratio {ratio:.2f} (bar {BAR})"
        )
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


def run(rows: int, accounts: int, seconds: int) -> dict[str, Any]:
    """Everything; the data goes away with it."""
    with ExitStack() as stack:
        places = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-"))) for _ in range(2)]
        first = stack.enter_context(billing.ledger_alone(places[0]))
        asyncio.run(billing.fund(first))
        measure(first, 2)  # warm
        empty = measure(first, seconds)
        print(f"empty: {empty}; filling", flush=True)
        second = stack.enter_context(billing.ledger_alone(places[1]))
        dsn = str(second.state["dsn"])
        filled: Filled = asyncio.run(fill(dsn, accounts, rows))
        print(f"{filled}; sealing", flush=True)
        sealed_s = asyncio.run(settle(dsn))
        print(f"sealed in {sealed_s:.0f} s; measuring", flush=True)
        asyncio.run(billing.fund(second))
        measure(second, 2)
        full = measure(second, seconds)
        again = measure(first, seconds)
        raw = {name: asyncio.run(_raw(suite)) for name, suite in (("empty", first), ("full", second))}
        return {
            "filled": asdict(filled),
            "sealed_s": sealed_s,
            "empty": empty,
            "full": full,
            "empty_again": again,
            "raw_transfers_per_s": raw,
            "audits": audits(second),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print, write."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10, help="of each load")
    parser.add_argument("--json", type=Path, default=processes.BUILD / "growth.json")
    settings = parser.parse_args(arguments)
    figures = run(settings.rows, settings.accounts, settings.seconds)
    settings.json.parent.mkdir(parents=True, exist_ok=True)
    settings.json.write_text(json.dumps(figures, indent=1, default=str) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
