"""Every test of the repository may ask for real PostgreSQL and NATS."""

from pathlib import Path

import pytest

pytest_plugins = ["common.testing.plugin", "simulators.fixtures"]

ROOT = Path(__file__).parent
WHOLE_SUITE = [ROOT / "tests" / "e2e", ROOT / "tests" / "chaos"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start the whole suite run one after the other in one worker, whatever their number."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in WHOLE_SUITE):
            item.add_marker(pytest.mark.xdist_group("suite"))
