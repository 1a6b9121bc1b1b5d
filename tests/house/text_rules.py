"""Rules for every text file: nothing unfinished, nothing of the machine it was written on, ADRs in form."""

import re
from collections.abc import Callable, Iterator

from house.tree import Source

DECISION_LINES = 60
DECISION_PARTS = ["Context", "Decision", "Consequences", "Alternatives"]

# Needles are joined here so that this file does not contain what it forbids.
_UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
_INDEX = re.compile(
    "|".join(
        (
            r"pypi\." + r"org",
            "python" + r"hosted\.org",
            r"https?://\S+/" + r"simple\b",
        )
    )
)
_MACHINE = re.compile(
    r"(?<![\w.:~$*)}-])/(" + "|".join(("ro" + "ot", "wo" + "rk", "Us" + r"ers/\w+")) + r")/"
)

Rule = Callable[[Source], Iterator[str]]


def unfinished(source: Source) -> Iterator[str]:
    """Notes to oneself; the place for them is the issue tracker."""
    yield from _found(source, _UNFINISHED, "unfinished business")


def index_hosts(source: Source) -> Iterator[str]:
    """Package indexes by name: any mirror must serve."""
    yield from _found(source, _INDEX, "names a package index")


def machine_paths(source: Source) -> Iterator[str]:
    """Absolute paths of a developer's machine."""
    yield from _found(source, _MACHINE, "a path of somebody's machine")


def decisions(source: Source) -> Iterator[str]:
    """Decision records without their four parts, or too long to be read."""
    if not re.fullmatch(r"docs/decisions/\d{4}-.*\.md", source.path):
        return
    if len(source.lines) > DECISION_LINES:
        yield source.at(DECISION_LINES + 1, f"{len(source.lines)} lines, at most {DECISION_LINES}")
    headings = [line.removeprefix("## ").strip() for line in source.lines if line.startswith("## ")]
    if headings != DECISION_PARTS:
        yield source.at(1, f"has the parts {headings}, not {DECISION_PARTS}")


def _found(source: Source, needle: re.Pattern[str], message: str) -> Iterator[str]:
    for number, line in enumerate(source.lines, 1):
        match = needle.search(line)
        if match:
            yield source.at(number, f"{message}: {match.group()!r}")


RULES: tuple[Rule, ...] = (unfinished, index_hosts, machine_paths, decisions)
