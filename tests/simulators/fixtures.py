"""The pytest fixture `simulator`, for every test of the repository (the root conftest.py loads it)."""

from collections.abc import Iterator

import pytest

from simulators.process import running_simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The base URL of a simulator shared by this worker's tests; `POST /_sim/reset` clears its counts."""
    with running_simulator() as url:
        yield url
