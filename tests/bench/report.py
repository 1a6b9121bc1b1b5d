"""Figures out of rounds: medians, ratios to the peer, and the table the README quotes."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.load import Sample

SHARE = ("gateway", "chat-relay", "billing")  # the processes design section 10 counts


@dataclass
class Round:
    """What one round at one target gave, by kind (`json`, `stream`)."""

    target: str
    latency: dict[str, Sample] = field(default_factory=dict)
    load: dict[str, Sample] = field(default_factory=dict)
    cpu_us: dict[str, dict[str, float]] = field(default_factory=dict)


def percentile_ms(values: Iterable[float], share: float) -> float:
    """The value below which `share` of the seconds lie, in milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def summarise(
    rounds: list[Round],
    start_s: float,
    memory: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Medians over rounds per target and kind, and the rest as measured once."""
    targets: dict[str, Any] = {}
    for name in dict.fromkeys(item.target for item in rounds):
        own = [item for item in rounds if item.target == name]
        targets[name] = {kind: _kind(own, kind) for kind in ("json", "stream")}
    return {
        "rounds": len(rounds) // max(1, len(targets)),
        "targets": targets,
        "start_s": start_s,
        "memory_mb": memory,
    }


def _kind(rounds: list[Round], kind: str) -> dict[str, Any]:
    def middle(values: Iterable[float]) -> float:
        return statistics.median(values)

    groups = list(rounds[0].cpu_us[kind])
    return {
        "p50_ms": middle(percentile_ms(item.latency[kind].total_s, 0.5) for item in rounds),
        "p99_ms": middle(percentile_ms(item.latency[kind].total_s, 0.99) for item in rounds),
        "first_byte_p50_ms": middle(percentile_ms(item.latency[kind].first_byte_s, 0.5) for item in rounds),
        "first_byte_p99_ms": middle(percentile_ms(item.latency[kind].first_byte_s, 0.99) for item in rounds),
        "per_s": middle(item.load[kind].requests / item.load[kind].elapsed_s for item in rounds),
        "load_p50_ms": middle(percentile_ms(item.load[kind].total_s, 0.5) for item in rounds),
        "load_p99_ms": middle(percentile_ms(item.load[kind].total_s, 0.99) for item in rounds),
        "cpu_us": {group: middle(item.cpu_us[kind][group] for item in rounds) for group in groups},
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as the Markdown table of the README."""
    direct, own = figures["targets"]["direct"], figures["targets"]["tollway"]
    peer = figures["targets"].get("litellm")
    rows = [
        "| what | Tollway | LiteLLM | ratio | bar |",
        "|---|--:|--:|--:|---|",
        _cpu_row("CPU per JSON chat request", "json", own, peer, "<= 500 µs, <= 1/30"),
        _cpu_row("CPU per 64-chunk stream", "stream", own, peer, "<= 800 µs, <= 1/80"),
    ]
    for label, kind, key, bar in (
        ("added latency, 1 caller, p50", "json", "p50_ms", "<= 1.5 ms"),
        ("added latency, 1 caller, p99", "json", "p99_ms", "<= 5 ms"),
        ("added time to first streamed byte, p50", "stream", "first_byte_p50_ms", ""),
        ("added time to first streamed byte, p99", "stream", "first_byte_p99_ms", "<= 5 ms"),
    ):
        mine = own[kind][key] - direct[kind][key]
        theirs = peer[kind][key] - direct[kind][key] if peer else None
        rows.append(
            _row(label, f"{mine:.2f} ms", theirs and f"{theirs:.2f} ms", theirs and theirs / mine, bar)
        )
    for label, kind in (("JSON requests per second, 16 callers", "json"), ("streams per second", "stream")):
        mine, theirs = own[kind]["per_s"], peer[kind]["per_s"] if peer else None
        rows.append(_row(label, f"{mine:.0f}", theirs and f"{theirs:.0f}", theirs and mine / theirs, ""))
    bare = figures["targets"]["bare"]
    for label, kind in (("for scale: one bare uvicorn + aiohttp hop, JSON", "json"), ("… stream", "stream")):
        rows.append(_row(label, f"{bare[kind]['cpu_us']['bare']:.0f} µs", None, None, ""))
    rows += _own_rows(figures)
    return "\n".join(rows)


def _cpu_row(label: str, kind: str, own: dict[str, Any], peer: dict[str, Any] | None, bar: str) -> str:
    cpu = own[kind]["cpu_us"]
    mine = sum(cpu[name] for name in SHARE)
    parts = ", ".join(f"{name} {cpu[name]:.0f}" for name in SHARE)
    theirs = peer[kind]["cpu_us"]["litellm"] if peer else None
    ratio = theirs and theirs / mine
    return _row(f"{label} ({parts})", f"{mine:.0f} µs", theirs and f"{theirs:,.0f} µs", ratio, bar)


def _row(label: str, mine: str, theirs: str | None, ratio: float | None, bar: str) -> str:
    return f"| {label} | {mine} | {theirs or ''} | {f'{ratio:.1f}x' if ratio else ''} | {bar} |"


def _own_rows(figures: dict[str, Any]) -> list[str]:
    memory = figures["memory_mb"]
    services = [name for name in memory["idle"] if name not in {"nats", "postgres"}]
    idle = max(memory["idle"][name] for name in services)
    busy = max(memory["streams_500"][name] for name in services)
    rows = [
        _row("memory of the largest service process, idle", f"{idle:.0f} MB", None, None, "<= 90 MB"),
        _row("… at 500 open streams", f"{busy:.0f} MB", None, None, "<= 200 MB"),
    ]
    for load in figures["billing"]["loads"]:
        bar = ">= 3,000/s, p99 <= 25 ms" if "pairs" in load["name"] else ">= 8,000/s, < 2 s"
        label = f"{load['name']} (p99 {load['p99_ms']:,.0f} ms)"
        rows.append(_row(label, f"{load['per_s']:,.0f}/s", None, None, bar))
    rows.append(_row("`make run` to ready, warm", f"{figures['start_s']:.1f} s", None, None, "<= 15 s"))
    return rows
