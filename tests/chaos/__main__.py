"""`python -m chaos [--rounds 100] [--seed S] [--parts a,b] [--links a>b,c>d]`: faults until one does harm.

A round is one fault: a kill -9, a pause, a cut, frozen, slow or disordered connection, every 0.4-1.2 s. A
stretch is as many as fit into one load of requests; then all must be served again, and the books must be
right. Stretch N of seed S is drawn alike in every run: `--seed S --first N --rounds 1` repeats it alone.
Exits 1 at the first stretch with findings, which are printed with the seed; the data directory is then kept.
"""

import argparse
import random
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.faults import draw_faults
from chaos.rounds import Report, run_stretch
from chaos.supervisor import LINKS, VICTIMS, SupervisedSuite, supervised_suite


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", default="")
    parser.add_argument("--first", type=int, default=1, help="number of the first stretch")
    parser.add_argument("--parts", default=",".join(VICTIMS), help="some of " + ", ".join(VICTIMS))
    parser.add_argument("--links", default=",".join(LINKS), help="some of " + ", ".join(LINKS))
    parser.add_argument("--keep-going", action="store_true", help="do not stop at findings")
    settings = parser.parse_args()
    seed = settings.seed or secrets.token_hex(4)
    parts, links = (tuple(filter(None, text.split(","))) for text in (settings.parts, settings.links))
    data_dir = Path(tempfile.mkdtemp(prefix="tollway-chaos-"))
    data_dir.chmod(0o711)
    print(f"seed {seed}, data and logs in {data_dir}", flush=True)
    began_s = time.monotonic()
    failed: list[Report] = []
    with supervised_suite(data_dir) as suite:
        rounds, number = 0, settings.first
        while rounds < settings.rounds:
            report = _stretch(suite, f"{seed}:{number}", parts, links)
            rounds += len(report.faults)
            number += 1
            if report.findings:
                failed.append(report)
                if not settings.keep_going:
                    break
    stretches = number - settings.first
    took_s = time.monotonic() - began_s
    print(f"{rounds} rounds in {stretches} stretches, {took_s:.0f} s; {len(failed)} stretches failed")
    if failed:
        print(f"seed {seed}; logs in {data_dir / 'logs'}, journals in {data_dir / 'rounds'}")
        return 1
    shutil.rmtree(data_dir, ignore_errors=True)
    return 0


def _stretch(suite: SupervisedSuite, name: str, parts: tuple[str, ...], links: tuple[str, ...]) -> Report:
    report = run_stretch(suite, name, draw_faults(random.Random(name), parts, links))
    print(report.line(), flush=True)
    for finding in report.findings:
        print(f"    {finding}", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
