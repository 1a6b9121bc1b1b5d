"""The data directory: who holds it, and what is read from it."""

import stat
from pathlib import Path

import pytest

from tollway.state import AlreadyRunningError, DataDir, State


def state(pid: int) -> State:
    return State("http://127.0.0.1:8080", {}, "postgresql://", "nats://", "", pid, {})


@pytest.fixture
def place(tmp_path: Path) -> DataDir:
    found = DataDir(tmp_path / "data")
    found.create()
    return found


def test_a_second_supervisor_is_refused_and_told_of_the_first(place: DataDir) -> None:
    with place.lock():
        pid = place.supervisor_pid()
        assert pid
        with pytest.raises(AlreadyRunningError, match=f"with pid {pid}"):
            place.lock()
    assert place.supervisor_pid() is None
    place.lock().close()


def test_a_state_left_by_a_crash_is_not_taken_for_a_running_suite(place: DataDir) -> None:
    with place.lock():
        place.write_state(state(7))
        assert place.read_state() == state(7)
    assert place.state_path.exists()
    assert place.read_state() is None


def test_the_state_holds_passwords_so_only_its_owner_reads_it(place: DataDir) -> None:
    place.write_state(state(7))
    assert stat.S_IMODE(place.state_path.stat().st_mode) == 0o600
