"""Rules for the shape of the house: the same rooms in every service, a small kit."""

import re
from collections.abc import Callable, Iterator, Sequence

from house.tree import Source

ROOMS = frozenset(("routes", "consumers", "usecases", "domain", "adapters", "migrations"))
LOOSE_MODULES = frozenset(("__init__.py", "app.py", "parts.py", "settings.py", "py.typed"))
TEST_ROOMS = frozenset(("unit", "component"))
README_LINES = 120
KIT_LINES = 2000


def service_rooms(sources: Sequence[Source]) -> Iterator[str]:
    """Files of services that lie outside the rooms."""
    for source in sources:
        if not source.path.startswith("services/"):
            continue
        _, service, *inside = source.parts
        package = service.replace("-", "_")
        if inside[0] == package:
            yield from _package_file(source, inside[1:])
        elif inside[0] == "tests":
            if len(inside) > 2 and inside[1] not in TEST_ROOMS:
                yield source.at(1, f"tests lie in {sorted(TEST_ROOMS)}, not `{inside[1]}`")
        elif inside not in (["README.md"], ["pyproject.toml"]):
            yield source.at(1, f"`{inside[0]}` is no room of a service")


def _package_file(source: Source, inside: list[str]) -> Iterator[str]:
    if len(inside) > 1 and inside[0] not in ROOMS:
        # A large service is split by noun into sub-packages, each with the same rooms.
        inside = inside[1:]
    if len(inside) == 1 and inside[0] not in LOOSE_MODULES:
        yield source.at(1, f"`{inside[0]}` lies in no room")
    elif len(inside) > 1 and inside[0] not in ROOMS:
        yield source.at(1, f"`{inside[0]}` is no room; rooms are {sorted(ROOMS)}")


def service_parts(sources: Sequence[Source]) -> Iterator[str]:
    """Services without README, project file, composition root, settings, or a word on why they exist."""
    by_path = {source.path: source for source in sources}
    for folder in sorted({path.split("/")[1] for path in by_path if path.startswith("services/")}):
        home, package = f"services/{folder}", f"services/{folder}/{folder.replace('-', '_')}"
        needed = [f"{home}/pyproject.toml", f"{package}/__init__.py"]
        modules = [path for path in by_path if path.startswith(f"{package}/") and path.endswith(".py")]
        if len(modules) > 1:
            needed += [f"{home}/README.md", f"{package}/app.py", f"{package}/settings.py"]
        for path in needed:
            if path not in by_path:
                yield f"{path}:1: every service has one"
        readme = by_path.get(f"{home}/README.md")
        if readme is not None:
            yield from _readme(readme, modules)


def _readme(readme: Source, modules: list[str]) -> Iterator[str]:
    if len(readme.lines) > README_LINES:
        yield readme.at(README_LINES + 1, f"{len(readme.lines)} lines, at most {README_LINES}")
    headings = " ".join(line for line in readme.lines if line.startswith("#")).lower()
    wanted = ["own", "settings"]
    for room, word in (("routes", "routes"), ("consumers", "subjects"), ("migrations/versions", "tables")):
        if any(f"/{room}/" in path and not path.endswith("__init__.py") for path in modules):
            wanted.append(word)
    for word in wanted:
        if not re.search(rf"\b{word}s?\b", headings):
            yield readme.at(
                1, f"no heading about what it {word}" if word == "own" else f"no heading `{word}`"
            )


def kit_size(sources: Sequence[Source]) -> Iterator[str]:
    """The kit stays small: what only one service needs is not kit."""
    total = sum(len(source.lines) for source in sources if "/common/kit/" in source.path)
    if total > KIT_LINES:
        yield f"libs/common/common/kit:1: {total} lines in all, at most {KIT_LINES}"


Rule = Callable[[Sequence[Source]], Iterator[str]]

RULES: tuple[Rule, ...] = (service_rooms, service_parts, kit_size)
