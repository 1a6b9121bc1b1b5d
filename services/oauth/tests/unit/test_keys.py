"""When signing keys are made, published, used and forgotten."""

from datetime import datetime, timedelta

import pytest

from common.testing.clock import START
from oauth.identity.domain.keys import (
    AHEAD,
    IN_USE,
    JWKS_MAX_AGE_S,
    KEPT,
    SigningKey,
    end_of,
    next_start,
    published_keys,
    signing_key,
)

DAY = timedelta(days=1)


def _key(kid: str, active_at: datetime, expires_at: datetime | None = None) -> SigningKey:
    return SigningKey(kid, "{}", b"", min(START, active_at), active_at, expires_at)


def test_the_newest_key_whose_time_has_come_signs() -> None:
    old, new = _key("old", START), _key("new", START + DAY)
    assert signing_key([], START) is None
    assert signing_key([new, old], START) is old
    assert signing_key([new, old], START + DAY) is new
    assert signing_key([_key("gone", START, START + DAY)], START + DAY) is None


def test_a_key_is_published_before_and_after_it_signs() -> None:
    old, new = _key("old", START, START + 3 * DAY), _key("new", START + DAY)
    assert published_keys([old, new], START) == [new, old]
    assert published_keys([old, new], START + 3 * DAY) == [new]


def test_the_first_key_signs_at_once() -> None:
    assert next_start([], START, asked=False) == START
    assert next_start([_key("gone", START, START + DAY)], START + DAY, asked=False) == START + DAY


def test_the_next_key_is_made_a_day_before_it_signs() -> None:
    keys = [_key("old", START)]
    due = START + IN_USE - AHEAD
    assert next_start(keys, due - timedelta(seconds=1), asked=False) is None
    assert next_start(keys, due, asked=False) == START + IN_USE
    assert next_start([*keys, _key("new", START + IN_USE)], due, asked=False) is None


def test_a_key_that_is_made_late_is_published_for_a_day_nevertheless() -> None:
    late = START + 2 * IN_USE
    assert next_start([_key("old", START)], late, asked=False) == late + AHEAD
    assert timedelta(seconds=JWKS_MAX_AGE_S) < AHEAD


@pytest.mark.parametrize("waiting", [True, False])
def test_the_operator_gets_one_more_key_and_no_third(waiting: bool) -> None:  # noqa: FBT001  a parameter
    keys = [_key("old", START), *([_key("new", START + DAY)] if waiting else [])]
    assert next_start(keys, START, asked=True) == (None if waiting else START + AHEAD)


def test_a_replaced_key_stays_until_all_it_signed_has_expired_unless_it_leaked() -> None:
    old, new = _key("old", START), _key("new", START + DAY)
    assert end_of(old, new, at_once=False) == START + DAY + KEPT
    assert end_of(old, new, at_once=True) == new.created_at
    leaving = _key("leaving", START, START + 2 * DAY)
    assert end_of(leaving, new, at_once=False) == START + 2 * DAY
