"""Multipliers: from what people write to millionths and minutes, and back."""

import re
from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from billing.domain.prices import MAX_NAME, format_ms, parse_ms
from common.contracts.bootstrap import MultiplierSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import DAY_MINUTES, Multiplier
from common.kit.money import MICRO, format_rate, parse_rate

MAX_RATE = 1_000
MAX_MULTIPLIERS = 500
"""They are looked through once a minute for each model and group in use."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def multiplier_from_spec(spec: MultiplierSpec, source: str) -> Multiplier:
    """The multiplier a person wrote; InvalidRequestError names the field that is wrong."""
    if not _NAME.fullmatch(spec.name):
        raise InvalidRequestError("A name is 1 to 64 letters, digits, dots, hyphens.", param="name")
    for field in ("group", "model"):
        text = getattr(spec, field)
        if not text or "\0" in text or len(text) > MAX_NAME or "*" in text[:-1]:
            raise InvalidRequestError(f"{field} is a name; only its end may be `*`.", param=field)
    if spec.group.endswith("*") and spec.group != "*":
        raise InvalidRequestError("group is one group, or `*` for all.", param="group")
    try:
        rate_micro = parse_rate(spec.rate)
    except ValueError as error:
        raise InvalidRequestError(f"rate: {error}", param="rate") from None
    if rate_micro > MAX_RATE * MICRO:
        raise InvalidRequestError(f"rate is at most {MAX_RATE}.", param="rate")
    _check_zone(spec.zone)
    start_ms = None if spec.valid_from is None else parse_ms("valid_from", spec.valid_from)
    end_ms = None if spec.valid_to is None else parse_ms("valid_to", spec.valid_to)
    for field, at_ms in (("valid_from", start_ms), ("valid_to", end_ms)):
        if at_ms is not None and at_ms % 60_000:
            raise InvalidRequestError(f"{field} is a whole minute.", param=field)
    if end_ms is not None and end_ms <= (start_ms or 0):
        raise InvalidRequestError("valid_to is not after valid_from.", param="valid_to")
    return Multiplier(
        name=spec.name,
        rate_micro=rate_micro,
        group=spec.group,
        model=spec.model,
        zone=spec.zone,
        from_minute=_minute("from", spec.from_time) % DAY_MINUTES,
        to_minute=_minute("to", spec.to_time),
        weekdays=tuple(sorted({_DAYS.index(day) + 1 for day in spec.weekdays})),
        valid_from_ms=start_ms,
        valid_to_ms=end_ms,
        source=source,
    )


def multipliers_from_specs(specs: Iterable[MultiplierSpec], source: str) -> list[Multiplier]:
    """As multiplier_from_spec, for a whole list, in which a name stands once."""
    multipliers: dict[str, Multiplier] = {}
    for spec in specs:
        if spec.name in multipliers:
            raise InvalidRequestError(f"The multiplier {spec.name} is given twice.", param="name")
        try:
            multipliers[spec.name] = multiplier_from_spec(spec, source)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"Multiplier {spec.name}: {error.message}", param=error.param) from None
    return list(multipliers.values())


def multiplier_fields(multiplier: Multiplier) -> dict[str, str | list[str] | None]:
    """The multiplier as people write it, in the fields of MultiplierSpec."""
    start_ms, end_ms = multiplier.valid_from_ms, multiplier.valid_to_ms
    return {
        "name": multiplier.name,
        "rate": format_rate(multiplier.rate_micro),
        "group": multiplier.group,
        "model": multiplier.model,
        "zone": multiplier.zone,
        "from": _clock(multiplier.from_minute),
        "to": _clock(multiplier.to_minute),
        "weekdays": [_DAYS[day - 1] for day in multiplier.weekdays],
        "valid_from": None if start_ms is None else format_ms(start_ms),
        "valid_to": None if end_ms is None else format_ms(end_ms),
    }


def changed_multipliers(current: Mapping[str, Multiplier], offered: Iterable[Multiplier]) -> list[Multiplier]:
    """Those of `offered` that are new or different; InvalidRequestError when there would be too many."""
    changed = []
    for multiplier in offered:
        old = current.get(multiplier.name)
        if old is None or msgspec.structs.replace(old, version=multiplier.version) != multiplier:
            changed.append(multiplier)
    if len(current.keys() | {multiplier.name for multiplier in changed}) > MAX_MULTIPLIERS:
        raise InvalidRequestError(f"There are at most {MAX_MULTIPLIERS} multipliers.")
    return changed


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequestError(f"zone {zone[:40]!r} is no IANA time zone.", param="zone") from None


def _minute(field: str, text: str) -> int:
    match = _TIME.fullmatch(text)
    minute = int(match.group(1)) * 60 + int(match.group(2)) if match else DAY_MINUTES + 1
    if minute > DAY_MINUTES:
        raise InvalidRequestError(f"{field} is a time of the day such as 08:30.", param=field)
    return minute


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
