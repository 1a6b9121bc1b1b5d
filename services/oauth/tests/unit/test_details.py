"""What an app may ask to spend, read to the last field (RFC 9396), and what a person enters."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.testing.clock import START
from oauth.domain.details import granted_details, parse_details
from oauth.domain.errors import InvalidDetailsError
from oauth.domain.grants import Grant, Spending
from oauth.domain.terms import Terms, TermsError, read_terms, terms_of

FULL: dict[str, Any] = {
    "type": "charge_user",
    "currency": "USD",
    "limit": {"amount": "5.00", "period": "month"},
    "max_per_charge": "0.50",
    "expires_at": "2027-01-01T00:00:00Z",
}


def _grant(spending: Spending) -> Grant:
    return Grant("g", "a", "u", ("charge",), spending, START, START)


def test_what_is_asked_is_read_exactly() -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    asked = parse_details(json.dumps([FULL]), START)
    assert asked == Spending(5_000_000_000, "month", "UTC", 500_000_000, end)
    least = {"type": "charge_user", "currency": "USD", "limit": {"amount": "0.000000001", "period": "total"}}
    assert parse_details(json.dumps([least]), START) == Spending(1, "total")
    zone = FULL | {"limit": {"amount": "1", "period": "day", "timezone": "Asia/Shanghai"}}
    asked = parse_details(json.dumps([zone | {"expires_at": "2027-01-01T08:00:00+08:00"}]), START)
    assert asked == Spending(1_000_000_000, "day", "Asia/Shanghai", 500_000_000, end)
    assert parse_details("[]", START) is None


def test_what_was_granted_can_be_asked_again() -> None:
    for spending in (
        Spending(1_500_000_000, "week"),
        Spending(5_000_000_000, "day", "Asia/Shanghai", 1_000_000, datetime(2027, 3, 4, 5, 6, tzinfo=UTC)),
    ):
        [detail] = granted_details(_grant(spending))
        assert parse_details(json.dumps([detail]), START) == spending
    assert granted_details(_grant(Spending())) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        '"charge_user"',
        "[1]",
        "[{}]",
        json.dumps([FULL, FULL]),
        json.dumps(FULL),
        json.dumps([FULL | {"type": "payment"}]),
        json.dumps([FULL | {"unknown": 1}]),
        json.dumps([FULL | {"currency": "EUR"}]),
        json.dumps([FULL | {"currency": "usd"}]),
        json.dumps([{name: value for name, value in FULL.items() if name != "limit"}]),
        json.dumps([{name: value for name, value in FULL.items() if name != "currency"}]),
        json.dumps([FULL | {"limit": "5"}]),
        json.dumps([FULL | {"limit": {"amount": "5"}}]),
        json.dumps([FULL | {"limit": {"period": "month"}}]),
        json.dumps([FULL | {"limit": {"amount": "5", "period": "year"}}]),
        json.dumps([FULL | {"limit": {"amount": "5", "period": "month", "x": 1}}]),
        json.dumps([FULL | {"limit": {"amount": "5", "period": "month", "timezone": "Mars/Base"}}]),
        json.dumps([FULL | {"limit": {"amount": "5", "period": "month", "timezone": "../../etc/passwd"}}]),
        json.dumps([FULL | {"expires_at": "2026-01-15T12:00:00Z"}]),
        json.dumps([FULL | {"expires_at": "2027-01-01"}]),
        json.dumps([FULL | {"expires_at": "2027-01-01T00:00:00"}]),
        json.dumps([FULL | {"max_per_charge": "5.01"}]),
        json.dumps([FULL | {"description": "x" * 5000}]),
        *(
            json.dumps([FULL | {"limit": {"amount": amount, "period": "month"}}])
            for amount in (5, 5.0, "", "0", "-1", "+1", " 1", "1e3", "1,5", "0.0000000001", "1000000.01", "٣")
        ),
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidDetailsError) as refused:
        parse_details(text, START)
    assert refused.value.error_code == "invalid_authorization_details"


def test_the_form_means_exactly_what_was_entered() -> None:
    terms = Terms(" 0.75 ", "day", "Asia/Shanghai", "0.5", "2026-02-01T08:30")
    end = datetime(2026, 2, 1, 0, 30, tzinfo=UTC)
    spending = read_terms(terms, START)
    assert spending == Spending(750_000_000, "day", "Asia/Shanghai", 500_000_000, end)
    assert read_terms(terms_of(spending), START) == spending
    assert read_terms(Terms("3"), START) == Spending(3_000_000_000, "month")


def test_an_end_that_the_form_cannot_show_to_the_second_is_never_later_than_asked() -> None:
    asked = Spending(1, "total", "UTC", None, START + timedelta(hours=1, seconds=59))
    assert read_terms(terms_of(asked), START).expires_at == START + timedelta(hours=1)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(TermsError) as refused:
        read_terms(Terms("five", "year", "Mars/Base", "1e3", "2020-01-01T00:00"), START)
    assert refused.value.faults == {
        "limit": "amount",
        "max_per_charge": "amount",
        "period": "choice",
        "timezone": "choice",
    }
    for terms, faults in (
        (Terms("1", max_per_charge="1.01"), {"max_per_charge": "above_limit"}),
        (Terms("1", expires_at="2020-01-01T00:00"), {"expires_at": "past"}),
        (Terms("1", expires_at="tomorrow"), {"expires_at": "choice"}),
        (Terms("1", expires_at="0001-01-01T00:00", timezone="Asia/Tokyo"), {"expires_at": "choice"}),
        (Terms(""), {"limit": "amount"}),
        (Terms("0"), {"limit": "amount"}),
        (Terms("inf"), {"limit": "amount"}),
    ):
        with pytest.raises(TermsError) as refused:
            read_terms(terms, START)
        assert refused.value.faults == faults
