from datetime import UTC, datetime, timedelta

import pytest

from common.testing.clock import FakeClock


def test_the_clock_stands_still_until_advanced_and_moves_both_times(clock: FakeClock) -> None:
    before = clock.now()
    assert (clock.monotonic(), clock.now()) == (0.0, before)
    clock.advance(90.5)
    assert clock.monotonic() == 90.5
    assert clock.now() - before == timedelta(seconds=90.5)
    assert clock.time() == clock.now().timestamp()


def test_the_clock_never_goes_backwards() -> None:
    clock = FakeClock(datetime(2026, 2, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    assert clock.now() == datetime(2026, 2, 1, tzinfo=UTC)
