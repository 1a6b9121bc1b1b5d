"""Requests per minute and at a time, on a clock that only moves when told to."""

import pytest

from common.contracts.principals import Limits
from common.testing.clock import FakeClock
from gateway.domain.limits import Limiter, LimitExceededError


def _passes(limiter: Limiter, key: str, limits: Limits) -> bool:
    try:
        limiter.enter(key, limits)
    except LimitExceededError:
        return False
    limiter.leave(key, limits)
    return True


def test_a_minutes_worth_may_come_at_once_and_then_at_the_rate(clock: FakeClock) -> None:
    limiter, limits = Limiter(clock.monotonic), Limits(rpm=60)
    assert [_passes(limiter, "a", limits) for _ in range(61)] == [True] * 60 + [False]
    clock.advance(0.9)
    assert not _passes(limiter, "a", limits)
    clock.advance(0.2)
    assert [_passes(limiter, "a", limits) for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert sum(_passes(limiter, "a", limits) for _ in range(100)) == 60


def test_keys_do_not_share_their_limits(clock: FakeClock) -> None:
    limiter, limits = Limiter(clock.monotonic), Limits(rpm=1)
    assert _passes(limiter, "a", limits)
    assert _passes(limiter, "b", limits)
    assert not _passes(limiter, "a", limits)


def test_a_refusal_says_when_to_come_back(clock: FakeClock) -> None:
    limiter, limits = Limiter(clock.monotonic), Limits(rpm=6)
    for _ in range(6):
        assert _passes(limiter, "a", limits)
    with pytest.raises(LimitExceededError) as caught:
        limiter.enter("a", limits)
    assert caught.value.retry_after_s == 10
    assert dict(caught.value.headers) == {
        b"x-ratelimit-limit-requests": b"6",
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-reset-requests": b"60.000s",
    }


def test_a_limit_of_zero_lets_nothing_pass(clock: FakeClock) -> None:
    limiter = Limiter(clock.monotonic)
    assert not _passes(limiter, "a", Limits(rpm=0))
    assert not _passes(limiter, "b", Limits(concurrency=0))
    clock.advance(3600)
    assert not _passes(limiter, "a", Limits(rpm=0))


def test_only_so_many_run_at_a_time(clock: FakeClock) -> None:
    limiter, limits = Limiter(clock.monotonic), Limits(concurrency=2)
    limiter.enter("a", limits)
    limiter.enter("a", limits)
    assert not _passes(limiter, "a", limits)
    limiter.leave("a", limits)
    assert _passes(limiter, "a", limits)


def test_a_refused_request_takes_no_place(clock: FakeClock) -> None:
    limiter, limits = Limiter(clock.monotonic), Limits(rpm=1, concurrency=1)
    assert _passes(limiter, "a", limits)
    for _ in range(5):
        assert not _passes(limiter, "a", limits)
    clock.advance(60)
    assert _passes(limiter, "a", limits)


def test_forgetting_idle_keys_bounds_memory_and_spares_running_ones(clock: FakeClock) -> None:
    limiter, limits = Limiter(clock.monotonic, capacity=10), Limits(concurrency=1)
    limiter.enter("running", limits)
    for number in range(1000):
        assert _passes(limiter, f"key {number}", limits)
    assert len(limiter._usage) <= 11
    assert not _passes(limiter, "running", limits)
