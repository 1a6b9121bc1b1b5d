"""`python -m bench [--rounds 3] [--json FILE] [--skip-litellm]`: run, print the tables, write JSON.

`--only billing|oauth|credentials|growth` runs one of these alone, with the options of that module; growth,
which fills ten million rows, is run in no other way.
Everything listens on 127.0.0.1 and ends by itself. Rounds are interleaved (direct, Tollway, LiteLLM …) so
that a busy machine disturbs all alike; figures are medians over rounds.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench import billing, credentials, growth, load, oauth, processes, report
from bench.load import Sample, Target
from bench.processes import Suite
from bench.report import Round

PARTS = {"billing": billing, "oauth": oauth, "credentials": credentials}
ALONE = {**PARTS, "growth": growth}


async def _measure(target: Target, suite: Suite | None, settings: argparse.Namespace, *, slow: bool) -> Round:
    """One round at one target: latency alone, then work under load, for JSON and for streams."""
    result = Round(target.name)
    alone = settings.alone // (5 if slow else 1)
    loaded = settings.loaded // (20 if slow else 1)
    for stream in (False, True):
        kind = "stream" if stream else "json"
        await load.run(target, requests=alone // 5, concurrency=1, stream=stream)
        sample = await load.run(target, requests=alone, concurrency=1, stream=stream)
        result.latency[kind] = sample
        before = suite.cpu_s() if suite else {}
        work: Sample = await load.run(
            target, requests=loaded, concurrency=settings.concurrency, stream=stream
        )
        after = suite.cpu_s() if suite else {}
        result.load[kind] = work
        result.cpu_us[kind] = {name: (after[name] - before[name]) / work.requests * 1e6 for name in after}
    return result


async def _memory(suite: Suite, target: Target) -> dict[str, dict[str, float]]:
    idle = suite.rss_mb()
    connections = await load.hold_streams(target, processes.HELD_MODEL, 500)
    await asyncio.sleep(5)  # reason: streams must be flowing, not merely opened
    busy = suite.rss_mb()
    for connection in connections:
        connection.close()
    return {"idle": idle, "streams_500": busy}


async def _run(settings: argparse.Namespace) -> dict[str, Any]:
    data_dir = Path(tempfile.mkdtemp(prefix="tollway-bench-"))
    processes.BUILD.mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        upstream_url, _ = stack.enter_context(processes.upstream())
        suite = stack.enter_context(processes.tollway(upstream_url, data_dir))
        targets: list[tuple[Target, Suite | None, bool]] = [
            (Target("direct", upstream_url, "sk-sim"), None, False),
            (Target("tollway", suite.url, suite.key), suite, False),
        ]
        idle_memory = await _memory(suite, targets[1][0])
        bare = stack.enter_context(processes.bare_hop(upstream_url))
        targets.append((Target("bare", bare.url, bare.key), bare, False))
        if not settings.skip_litellm:
            peer = stack.enter_context(processes.litellm(upstream_url))
            targets.append((Target("litellm", peer.url, peer.key), peer, True))
        rounds: list[Round] = []
        for number in range(settings.rounds):
            for target, measured, slow in targets:
                print(f"round {number + 1}/{settings.rounds}: {target.name}", flush=True)
                rounds.append(await _measure(target, measured, settings, slow=slow))
        return report.summarise(rounds, suite.start_s, idle_memory)


def main() -> None:
    """Parse the command line, run, print, write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=500, help="requests at concurrency 1, a round")
    parser.add_argument("--loaded", type=int, default=4000, help="requests under load, a round")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--charges", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--json", type=Path, default=processes.BUILD / "bench.json")
    parser.add_argument("--skip-litellm", action="store_true")
    parser.add_argument("--only", choices=ALONE, help="one benchmark alone, with its own options")
    settings, others = parser.parse_known_args()
    if settings.only:
        ALONE[settings.only].main(others)
        return
    if others:
        parser.error(f"unknown: {' '.join(others)}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_run(settings))
    print("billing: leases and usage", flush=True)
    figures["billing"] = billing.measure(pairs=settings.pairs, events=settings.events)
    print("oauth: charges and tokens", flush=True)
    figures["oauth"] = oauth.measure(charges=settings.charges, tokens=settings.tokens)
    figures["credentials"] = credentials.measure()
    settings.json.parent.mkdir(parents=True, exist_ok=True)
    settings.json.write_text(json.dumps(figures, indent=1) + "\n")
    tables = (report.table(figures), *(part.table(figures[name]) for name, part in PARTS.items()))
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
