"""The files the rules look at: tracked ones, and new ones that are not ignored."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("uv.lock", "requirements.lock")


@dataclass(frozen=True)
class Source:
    """One text file; `path` is relative to the root of the repository, with slashes."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """Its lines without their ends."""
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree; SyntaxError when it has none."""
        return ast.parse(self.text, self.path)

    @property
    def parts(self) -> list[str]:
        """The words of its path."""
        return self.path.split("/")

    @property
    def is_python(self) -> bool:
        """Whether it is a module."""
        return self.path.endswith(".py")

    @property
    def is_test(self) -> bool:
        """Whether it belongs to tests, doubles and simulators included."""
        return "tests" in self.parts[:-1] or self.parts[-1] == "conftest.py"

    @property
    def is_migration(self) -> bool:
        """Whether it is a migration, which is written once and never again."""
        return "migrations" in self.parts[:-1]

    def at(self, line: int, message: str) -> str:
        """A violation."""
        return f"{self.path}:{line}: {message}"


def sources(root: Path = ROOT) -> Iterator[Source]:
    """Every text file git tracks or would add, but for the locks, which programs write."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    )
    for path in sorted(set(filter(None, listing.stdout.split("\0")))):
        file = root / path
        if path in LOCKS or not file.is_file():
            continue
        content = file.read_bytes()
        if b"\0" not in content:
            yield Source(path, content.decode("utf-8"))
