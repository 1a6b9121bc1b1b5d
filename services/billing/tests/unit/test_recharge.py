"""Ratios and currencies: integers, one rounding, Stripe's smallest units."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments.domain.payments import Payment
from billing.payments.domain.recharge import (
    Ratio,
    credit_nano,
    format_amount,
    make_ratio,
    parse_amount,
    parse_currency,
)
from billing.payments.domain.reversals import share_nano
from common.contracts.errors import InvalidRequestError
from common.testing.clock import START

USD = 1_000_000_000


@pytest.mark.parametrize(
    ("currency", "price", "amount", "minor", "credit"),
    [
        ("USD", "1", "10", 1000, 10 * USD),
        ("CNY", "2.5", "25", 2500, 10 * USD),
        ("CNY", "7.3", "10", 1000, 1_369_863_014),
        ("JPY", "150", "1500", 1500, 10 * USD),
        ("JPY", "150", "1", 1, 6_666_667),
        ("KWD", "0.3", "3", 3000, 10 * USD),
        ("ISK", "140", "1400", 140_000, 10 * USD),
    ],
)
def test_an_amount_buys_what_its_ratio_says(
    currency: str, price: str, amount: str, minor: int, credit: int
) -> None:
    assert parse_amount(amount, currency) == minor
    assert credit_nano(minor, make_ratio(currency, price, "file")) == credit
    assert format_amount(minor, currency) == amount


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("JPY", "1.5"), ("USD", "0.001"), ("KWD", "1.001"), ("ISK", "1.50"), ("UGX", "0.01"), ("USD", "0"),
     ("USD", "-1"), ("USD", "1e2"), ("USD", "NaN"), ("USD", ""), ("USD", "\u0661")],
)  # fmt: skip
def test_what_cannot_be_paid_is_refused(currency: str, amount: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse_amount(amount, currency)
    assert refusal.value.param == "amount"


@pytest.mark.parametrize(
    ("currency", "price"),
    [
        ("US", "1"),
        ("USDT", "1"),
        ("U$D", "1"),
        ("USD", "0"),
        ("USD", "-1"),
        ("USD", "0.0000001"),
        ("USD", "x"),
    ],
)
def test_a_ratio_that_makes_no_sense_is_refused(currency: str, price: str) -> None:
    with pytest.raises(InvalidRequestError):
        make_ratio(currency, price, "api")


def test_a_currency_is_read_in_any_case() -> None:
    assert parse_currency("cny") == "CNY"


@given(minor=st.integers(1, 10**11), price=st.integers(1, 10**10))
def test_a_credit_is_the_nearest_nano(minor: int, price: int) -> None:
    exact = Fraction(minor, 100) / Fraction(price, 10**6) * USD
    try:
        credit = credit_nano(minor, Ratio("USD", price, "file"))
    except InvalidRequestError:
        assert exact > 2**63 - 2 or exact <= Fraction(1, 2)
    else:
        assert abs(credit - exact) <= Fraction(1, 2)


@given(credit=st.integers(1, 10**15), parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=20))
def test_shares_of_all_parts_are_the_whole(credit: int, parts: list[int]) -> None:
    total = sum(parts)
    payment = Payment(
        "p", "a", "stripe_checkout", "succeeded", total, "USD", 10**6, credit, "", "", "", "", START
    )
    shares = []
    for part in parts:
        shares.append(share_nano(payment, part))
        payment = Payment(
            "p", "a", "stripe_checkout", "succeeded", total, "USD", 10**6, credit, "", "", "", "", START,
            reversed_minor=payment.reversed_minor + part, reversed_nano=payment.reversed_nano + shares[-1],
        )  # fmt: skip
    assert sum(shares) == credit
    assert min(shares) >= 0
