"""Currencies and amounts in their smallest unit, within the limits that Stripe sets a charge.

Limits: docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, for the currencies listed there; the
others are given the smallest possible.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from simulators.stripe.errors import invalid

_CODES = (
    "aed aud bgn brl cad chf clp cny cop czk dkk eur gbp hkd huf idr ils inr jpy "
    "krw mxn myr nok nzd php pln ron rub sar sek sgd thb try twd uah usd vnd zar"
)
CURRENCIES = frozenset(_CODES.split())
LEAST = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "aud": 50, "cad": 50, "chf": 50, "sgd": 50, "hkd": 400}
MOST = 99_999_999
DECIMAL_PLACES = 12


def currency_of(name: str, param: str) -> str:
    """The code in lower case; raises the 400 for one that is none."""
    if name.lower() not in CURRENCIES:
        raise invalid(f"Invalid currency: {name.lower()}", param)
    return name.lower()


def check_chargeable(amount: int, currency: str, param: str | None = None) -> int:
    """`amount` if a charge of it is possible, or nothing is to be charged; raises the 400."""
    if amount > MOST:
        raise invalid(f"At most {MOST} can be charged at once", param, "amount_too_large")
    if 0 < amount < LEAST.get(currency, 1):
        raise invalid(f"At least {LEAST[currency]} {currency} are charged", param, "amount_too_small")
    return amount


def line_amount(unit_amount: int | None, decimal: str | None, quantity: int, param: str) -> int:
    """The amount of a line, a fraction of the smallest unit rounded half up; raises the 400."""
    if (unit_amount is None) == (decimal is None):
        message = "One of unit_amount and unit_amount_decimal is needed"
        raise invalid(message, f"{param}[unit_amount]", "parameter_missing")
    if decimal is None:
        return int(unit_amount or 0) * quantity
    try:
        exact = Decimal(decimal)
    except InvalidOperation as error:
        raise invalid(f"Invalid decimal: {decimal}", f"{param}[unit_amount_decimal]") from error
    if not exact.is_finite() or exact != round(exact, DECIMAL_PLACES):
        raise invalid(f"Invalid decimal: {decimal}", f"{param}[unit_amount_decimal]")
    return int((exact * quantity).to_integral_value(ROUND_HALF_UP))
