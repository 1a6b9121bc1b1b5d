"""One kill of each part in the middle of 200 requests, then every other fault: a short `make chaos`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import LINK_KINDS, Fault, Kind
from chaos.rounds import run_stretch
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
    report = run_stretch(suite, f"short:{victim}", [Fault(MIDDLE_S, victim, 0.0)])
    assert not report.findings, report.line() + "\n" + "\n".join(report.findings)
    assert report.endings["complete"] > 20


EVERY_OTHER_FAULT: dict[str, tuple[tuple[Kind, str], ...]] = {
    "paused parts": tuple(("pause", part) for part in VICTIMS),
    "bad ways to PostgreSQL": tuple(
        (kind, f"{part}>postgres") for part in ("billing", "chat-relay") for kind in LINK_KINDS
    ),
    "bad ways to NATS": (
        ("cut", "billing>nats"),
        ("freeze", "chat-relay>nats"),
        ("delay", "billing>nats"),
        ("cut", "chat-relay>nats"),
    ),
    "disordered messages": (
        ("duplicate", "chat-relay>nats"),
        ("reorder", "billing>nats"),
        ("reorder", "chat-relay>nats"),
        ("duplicate", "billing>nats"),
    ),
}


@pytest.mark.parametrize("name", EVERY_OTHER_FAULT)
def test_faults_that_kill_nobody_lose_nothing_at_all(suite: SupervisedSuite, name: str) -> None:
    faults = [
        Fault(0.5 + number * 0.8, victim, 0.4, kind, 0.02)
        for number, (kind, victim) in enumerate(EVERY_OTHER_FAULT[name])
    ]
    report = run_stretch(suite, f"short:{name.replace(' ', '-')}", faults)
    assert not report.findings, report.line() + "\n" + "\n".join(report.findings)
    assert len(report.faults) == len(faults)
    assert report.unbilled == 0
    assert report.endings["complete"] > 20
