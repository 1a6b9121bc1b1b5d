"""One kill of each victim in the middle of 200 requests: the short form of `python -m chaos`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import Fault
from chaos.rounds import run_round
from chaos.supervisor import VICTIMS, SupervisedSuite, supervised_suite

MIDDLE_S = 2.5
"""Half of the requests have begun."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def suite() -> Iterator[SupervisedSuite]:
    """A suite of this module's own; not in pytest's directory, which PostgreSQL's user may not enter."""
    with tempfile.TemporaryDirectory(prefix="tollway-chaos-") as name:
        data_dir = Path(name)
        data_dir.chmod(0o711)
        with supervised_suite(data_dir) as running:
            yield running


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_in_the_middle_of_200_requests_costs_nobody_a_nano(
    suite: SupervisedSuite, victim: str
) -> None:
    report = run_round(suite, f"short:{victim}", [Fault(MIDDLE_S, victim, 0.0)])
    assert not report.findings, report.line() + "\n" + "\n".join(report.findings)
    assert report.endings["complete"] > 40
