"""Tokens per minute."""

from chat_relay.domain.token_limits import TokenLimits


def test_a_bucket_fills_evenly_and_says_how_long_to_wait() -> None:
    limits = TokenLimits()
    assert limits.take("s", 600, 600, 0) == 0
    assert limits.take("s", 600, 100, 1) == 9
    assert limits.take("s", 600, 100, 10) == 0


def test_what_was_really_used_is_paid_by_the_next() -> None:
    limits = TokenLimits()
    limits.take("s", 600, 10, 0)
    limits.correct("s", 600, 1_190, 0)
    assert limits.take("s", 600, 1, 59) > 0
    assert limits.take("s", 600, 1, 61) == 0


def test_a_request_larger_than_the_limit_passes_when_the_bucket_is_full() -> None:
    limits = TokenLimits()
    assert limits.take("s", 60, 10_000, 0) == 0
    assert limits.take("s", 60, 1, 1) > 0


def test_spenders_do_not_meet() -> None:
    limits = TokenLimits()
    limits.take("a", 60, 60, 0)
    assert limits.take("b", 60, 60, 0) == 0
