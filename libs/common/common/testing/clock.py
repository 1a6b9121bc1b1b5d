"""A clock that only moves when told to."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)  # mid-month, mid-day: no boundary is crossed by accident


class FakeClock:
    """Monotonic seconds from 0 and wall time from 2026-01-15T12:00Z, both moved by `advance` alone."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_s

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        return (self._start + timedelta(seconds=self._elapsed_s)).astimezone(UTC)

    def time(self) -> float:
        """Wall time in seconds since 1970."""
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        """Move both clocks forward; ValueError on a negative step, which neither may take."""
        if seconds < 0:
            raise ValueError("time does not go backwards")
        self._elapsed_s += seconds
