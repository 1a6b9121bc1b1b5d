"""One running suite for all end-to-end tests of a session; every test makes its own user in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.suite import RunningSuite, running_suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[RunningSuite]:
    """The suite, ready."""
    data_dir: Path = tmp_path_factory.mktemp("suite")
    with running_suite(data_dir, simulator) as running:
        yield running
        running.audit()
