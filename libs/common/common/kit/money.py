"""Money: integer nano-USD (1e-9), prices in integer pico-USD (1e-12) per unit, decimal strings at the edge.

No float ever. A request is rounded once, half to even, from exact pico arithmetic to nano (ADR 0008).
"""

import re
from collections.abc import Iterable, Mapping

NANO_PER_USD = 1_000_000_000
PICO_PER_USD = 1_000_000_000_000
MICRO = 1_000_000
MAX_NANO = 2**63 - 1
MAX_RATE_MICRO = 10**12

_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,12}))?")


def parse_decimal(text: str, places: int) -> int:
    """`text` (plain decimal, no exponent) as an integer of 10**-places.

    Raises ValueError when it is not a plain decimal, is finer than `places`, or exceeds 64 bits.
    """
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a plain decimal number: {text[:40]!r}")
    sign, whole, fraction = match.group(1), match.group(2), (match.group(3) or "").rstrip("0")
    if len(fraction) > places:
        raise ValueError(f"more than {places} decimal places: {text[:40]!r}")
    scale: int = 10**places
    value = int(whole) * scale + int(fraction.ljust(places, "0") or "0")
    if value > MAX_NANO:
        raise ValueError(f"amount too large: {text[:40]!r}")
    return -value if sign else value


def format_decimal(value: int, places: int) -> str:
    """The shortest plain decimal of `value` x 10**-places: no exponent, no trailing zeros, `0` for zero."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), 10**places)
    return f"{sign}{whole}.{fraction:0{places}}".rstrip("0") if fraction else f"{sign}{whole}"


def parse_usd(text: str) -> int:
    """A decimal string of USD as nano-USD; ValueError when finer than a nano."""
    return parse_decimal(text, 9)


def format_usd(amount_nano: int) -> str:
    """nano-USD as a decimal string of USD."""
    whole, fraction = divmod(amount_nano, NANO_PER_USD)
    return f"{whole}.{fraction:09}".rstrip("0") if fraction and whole >= 0 else format_decimal(amount_nano, 9)


def parse_rate(text: str) -> int:
    """A multiplier such as `0.85` in millionths, never negative."""
    return _not_negative(parse_decimal(text, 6))


def format_rate(rate_micro: int) -> str:
    """Millionths as a decimal string."""
    return format_decimal(rate_micro, 6)


def per_million_to_pico(text: str) -> int:
    """USD per million units (tokens) as pico-USD per unit; ValueError when negative or finer than a pico."""
    return _not_negative(parse_decimal(text, 6))


def per_one_to_pico(text: str) -> int:
    """USD per single unit as pico-USD per unit; ValueError when negative or finer than a pico."""
    return _not_negative(parse_decimal(text, 12))


def cost_nano(quantities: Mapping[str, int], unit_pico: Mapping[str, int], rate_micro: int) -> int:
    """Sum of quantity x price x rate, rounded once, half to even. Units without a price cost nothing.

    Quantities are counts, never negative; the result is nano-USD.
    """
    total = 0
    for unit, quantity in quantities.items():
        total += quantity * unit_pico.get(unit, 0)
    return round_half_even(total * rate_micro, 1_000 * MICRO)


def product_micro(rates_micro: Iterable[int]) -> int:
    """The product of rates in millionths, in millionths: multiplied exactly, rounded once, half to even.

    At most `MAX_RATE_MICRO`, a million times the list price, however many rates there are.
    """
    product, count = 1, 0
    for rate in rates_micro:
        product *= rate
        count += 1
    return min(round_half_even(product * MICRO, MICRO**count), MAX_RATE_MICRO)


def round_half_even(numerator: int, denominator: int) -> int:
    """Numerator / denominator to the nearest integer, ties to even; exact for any size."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def _not_negative(value: int) -> int:
    if value < 0:
        raise ValueError("a price or a rate is never negative")
    return value
