"""Form-encoded parameters (`line_items[0][price_data][currency]=usd`) to structs, complaints as Stripe's.

Rules: `a[b]` is an object, `a[0]` and `a[]` a list, an empty value unsets (docs.stripe.com/api, "metadata").
A parameter that no struct names is refused, as Stripe refuses what it does not know.
"""

import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from simulators.stripe.errors import StripeError, invalid

MAX_PARAMETERS = 1000
MAX_DEPTH = 8
MAX_WHOLE = 10**12

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_SUBKEY = re.compile(r"\[([^\[\]]*)\]")
_WHOLE = re.compile(r"-?[0-9]{1,13}")

T = TypeVar("T")


class Whole(int):
    """An integer written in digits alone: Stripe refuses `10.00` and `1e3`, which a lax reader would take."""


class Natural(Whole):
    """A whole number that is not negative."""


def parse_form(encoded: str) -> dict[str, Any]:
    """Nested dicts, lists and texts; raises the 400 for keys that contradict each other or never end."""
    try:
        pairs = parse_qsl(
            encoded, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, encoding="utf-8", errors="strict"
        )
    except ValueError as error:
        raise invalid(f"The parameters could not be read: {error}.") from error
    root: dict[str, Any] = {}
    for key, value in pairs:
        _put(root, key, value)
    return {name: _settled(name, value) for name, value in root.items()}


def _put(root: dict[str, Any], key: str, value: str) -> None:
    matched = _KEY.fullmatch(key)
    if matched is None:
        raise invalid(f"Invalid parameter name: {key}", key)
    path = [matched[1], *_SUBKEY.findall(matched[2])]
    if len(path) > MAX_DEPTH:
        raise invalid(f"Too many levels: {key}", key)
    *parents, last = path
    place = root
    for parent in parents:
        place = place.setdefault(_index(place, parent), {})
        if not isinstance(place, dict):
            raise invalid(f"{key} is given as a value and as an object", key)
    if isinstance(place.get(last), dict):
        raise invalid(f"{key} is given as a value and as an object", key)
    place[_index(place, last)] = value


def _index(place: dict[str, Any], name: str) -> str:
    return name or str(len(place))


def _settled(name: str, value: Any) -> Any:
    # metadata has free keys, so `metadata[0]` is a key and not an index
    if not isinstance(value, dict) or name == "metadata":
        return value
    if all(key.isdecimal() for key in value):
        return [_settled("", value[key]) for key in sorted(value, key=int)]
    return {key: _settled(key, below) for key, below in value.items()}


def read_as(kind: type[T], params: dict[str, Any]) -> T:
    """`params` as a struct; raises the 400 `parameter_missing`, `_unknown`, `_invalid_integer` or no code."""
    try:
        return msgspec.convert(params, kind, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise _complaint(str(error)) from error


def _decode(kind: type[Any], value: Any) -> Any:
    if not issubclass(kind, Whole):
        raise NotImplementedError(kind)
    if not isinstance(value, str) or not _WHOLE.fullmatch(value) or abs(int(value)) > MAX_WHOLE:
        raise ValueError(f"Invalid integer: {value}")
    if issubclass(kind, Natural) and int(value) < 0:
        raise ValueError("Invalid non-negative integer")
    return kind(value)


def _complaint(complaint: str) -> StripeError:
    text, _, path = complaint.partition(" - at `$")
    names = [name for name in re.split(r"[.\[\]`]+", path) if name]
    field = text.split("`")[1] if "`" in text else ""
    if text.startswith("Object missing required field"):
        param = _param([*names, field])
        return invalid(f"Missing required param: {param}.", param, "parameter_missing")
    if text.startswith("Object contains unknown field"):
        param = _param([*names, field])
        return invalid(f"Received unknown parameter: {param}", param, "parameter_unknown")
    code = "parameter_invalid_integer" if "integer" in text else None
    return invalid(text, _param(names), code)


def _param(names: list[str]) -> str | None:
    return names[0] + "".join(f"[{name}]" for name in names[1:]) if names else None
