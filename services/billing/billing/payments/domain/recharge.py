"""What a USD of balance costs in the currencies people pay in, and amounts in a currency's smallest unit.

Integers only. Rounded once, half to even, to the nano-USD: credit = amount / price.
"""

import re

import msgspec

from common.contracts.errors import InvalidRequestError
from common.kit.money import MAX_NANO, NANO_PER_USD, format_decimal, parse_decimal, round_half_even

# docs.stripe.com/currencies, "Special cases" and "Zero-decimal" and "Three-decimal currencies"
_NO_PLACES = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE_PLACES = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_WHOLE_ONLY = frozenset(("ISK", "UGX"))
_CURRENCY = re.compile(r"[A-Z]{3}")
_PRICE_PLACES = 6
FILE_SOURCE = "file"
API_SOURCE = "api"


class Ratio(msgspec.Struct, frozen=True):
    """`price_micro`: millionths of `currency` for one USD of balance."""

    currency: str
    price_micro: int
    source: str


def places_of(currency: str) -> int:
    """Decimal places of the currency's smallest unit as Stripe counts it: 0, 2 or 3."""
    if currency in _NO_PLACES:
        return 0
    return 3 if currency in _THREE_PLACES else 2


def parse_currency(text: str) -> str:
    """The code in capitals; InvalidRequestError unless it is three letters."""
    currency = text.upper()
    if _CURRENCY.fullmatch(currency) is None:
        raise InvalidRequestError("A currency is a code of three letters.", param="currency")
    return currency


def parse_amount(text: str, currency: str) -> int:
    """A decimal amount above zero in the smallest unit; InvalidRequestError when it cannot be paid.

    Stripe's own rules: no decimals in JPY and the like nor in ISK and UGX, three-decimal currencies end in 0.
    """
    places = places_of(currency)
    try:
        minor = parse_decimal(text, places)
    except ValueError as error:
        raise InvalidRequestError(f"{error} in {currency}", param="amount") from None
    step = 100 if currency in _WHOLE_ONLY else 10 if places == 3 else 1
    if minor <= 0:
        raise InvalidRequestError("The amount is above zero.", param="amount")
    if minor % step:
        raise InvalidRequestError(f"{currency} is not paid in parts that small.", param="amount")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """The smallest unit's count as a decimal amount."""
    return format_decimal(minor, places_of(currency))


def make_ratio(currency: str, price: str, source: str) -> Ratio:
    """A ratio as people write it; InvalidRequestError naming the field."""
    try:
        price_micro = parse_decimal(price, _PRICE_PLACES)
    except ValueError as error:
        raise InvalidRequestError(str(error), param="price") from None
    if price_micro <= 0:
        raise InvalidRequestError("A price is above zero.", param="price")
    return Ratio(parse_currency(currency), price_micro, source)


def format_price(price_micro: int) -> str:
    """The price as a decimal."""
    return format_decimal(price_micro, _PRICE_PLACES)


def credit_nano(amount_minor: int, ratio: Ratio) -> int:
    """The balance an amount buys; InvalidRequestError when it is nothing or more than the ledger can hold."""
    scale = 10 ** places_of(ratio.currency)
    credit = round_half_even(amount_minor * 10**_PRICE_PLACES * NANO_PER_USD, scale * ratio.price_micro)
    if not 0 < credit <= MAX_NANO:
        raise InvalidRequestError("The amount buys nothing, or too much.", param="amount")
    return credit
