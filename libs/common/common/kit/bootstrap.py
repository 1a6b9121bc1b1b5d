"""Read the bootstrap file: TOML, `env:` secrets, validation errors that name the line."""

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from common.contracts.bootstrap import Bootstrap

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-]+)\s*\]\]?")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+)\s*=")
_WHERE = re.compile(r" - at `\$(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")


class BootstrapError(Exception):
    """The file cannot be used; the message is `FILE:LINE: what is wrong`."""


def load_bootstrap(
    path: Path, environ: Mapping[str, str] | None = None, secrets_of: Collection[str] | None = None
) -> Bootstrap:
    """The parsed file. Raises BootstrapError naming file and line, never showing a secret's value.

    `secrets_of` names the tables (`users`, `channels` …) whose `env:` values are read; the others keep the
    reference, so that a service needs no secret but its own. None reads all.
    """
    environ = os.environ if environ is None else environ
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BootstrapError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BootstrapError(f"{path}:1: not UTF-8 text") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise BootstrapError(f"{path}:{line.group(1) if line else len(text.splitlines())}: {error}") from None
    lines = _line_index(text)
    try:
        for table in raw if secrets_of is None else secrets_of:
            raw[table] = _resolve(raw.get(table, []), table, environ)
        return msgspec.convert(raw, Bootstrap)
    except msgspec.ValidationError as error:
        message = str(error)
        where = _WHERE.search(message)
        place = where.group(1).lstrip(".") if where else ""
        unknown = _UNKNOWN.search(message)
        key = f"{place}.{unknown.group(1)}".lstrip(".") if unknown else place
        found = _line_of(lines, key)
        reason = _WHERE.sub("", message).partition(" '")[0]  # msgspec quotes the value of an enum
        raise BootstrapError(f"{path}:{found}: {reason} in `{place or 'the file'}`") from None
    except _UnsetVariableError as error:
        found = _line_of(lines, error.place)
        raise BootstrapError(f"{path}:{found}: environment variable {error.name} is not set") from None


class _UnsetVariableError(Exception):
    def __init__(self, place: str, name: str) -> None:
        super().__init__(name)
        self.place = place
        self.name = name


def _resolve(value: Any, place: str, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, f"{place}.{key}".lstrip("."), environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, f"{place}[{index}]", environ) for index, item in enumerate(value)]
    if isinstance(value, str) and value.startswith("env:"):
        name = value[4:]
        if name not in environ:
            raise _UnsetVariableError(place, name)
        return environ[name]
    return value


def _line_index(text: str) -> dict[str, int]:
    """Path (`users[0].keys[1].name`) to line for headers and plain keys; enough to point a person there."""
    index: dict[str, int] = {}
    counters: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            prefix = _open_table(header.group(2), header.group(1) == "[[", counters)
            index[prefix] = number
            continue
        key = _KEY.match(line)
        if key:
            index.setdefault(f"{prefix}.{key.group(1)}".lstrip("."), number)
    return index


def _open_table(dotted: str, is_array: bool, counters: dict[str, int]) -> str:  # noqa: FBT001
    path = ""
    parts = dotted.split(".")
    for depth, part in enumerate(parts):
        path = f"{path}.{part}".lstrip(".")
        if is_array and depth == len(parts) - 1:
            counters[path] = counters.get(path, -1) + 1
        if path in counters:
            path = f"{path}[{counters[path]}]"
    return path


def _line_of(lines: dict[str, int], place: str) -> int:
    while place:
        for known in (place, f"{place}[0]"):
            if known in lines:
                return lines[known]
        place = re.sub(r"(\.[^.\[\]]+|\[[^\]]*\]|^[^.\[\]]+)$", "", place)
    return 1
