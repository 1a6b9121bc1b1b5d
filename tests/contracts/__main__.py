"""`make contracts`: write docs/contracts; refuse a change that would break those who read or send today.

A contract that really must change gets a new version beside the old one. Before the first release, delete the
file of the contract and run this again.
"""

import sys

from contracts.compare import breaking_changes
from contracts.generate import HOME, documents, written


def main() -> int:
    """0 when the files are written, 1 when a change is not additive."""
    fresh, old = documents(), written()
    broken = [change for name in fresh for change in breaking_changes(name, old.get(name), fresh[name])]
    if broken:
        sys.stderr.write("not additive, so nothing is written:\n  " + "\n  ".join(broken) + "\n")
        return 1
    for name, text in fresh.items():
        path = HOME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in old.keys() - fresh.keys():
        sys.stderr.write(f"{HOME / name}: no contract any more; delete it if nobody relies on it\n")
    sys.stdout.write(f"{len(fresh)} files in {HOME}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
