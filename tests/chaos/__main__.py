"""`python -m chaos [--rounds 20] [--seed S] [--victims a,b]`: rounds of kills until one is not clean.

Round N of seed S is drawn alike in every run: `--seed S --first N --rounds 1` repeats it alone. Exits 1 at
the first round with findings, which are printed with the seed; the data directory is then kept.
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
from chaos.rounds import Report, run_round
from chaos.supervisor import VICTIMS, SupervisedSuite, supervised_suite


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", default="")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    parser.add_argument("--victims", default=",".join(VICTIMS), help="some of " + ", ".join(VICTIMS))
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a round with findings")
    settings = parser.parse_args()
    seed = settings.seed or secrets.token_hex(4)
    victims = tuple(settings.victims.split(","))
    data_dir = Path(tempfile.mkdtemp(prefix="tollway-chaos-"))
    data_dir.chmod(0o711)
    print(f"seed {seed}, data and logs in {data_dir}", flush=True)
    began_s = time.monotonic()
    failed: list[Report] = []
    with supervised_suite(data_dir) as suite:
        for number in range(settings.first, settings.first + settings.rounds):
            report = _round(suite, seed, number, victims)
            if report.findings:
                failed.append(report)
                if not settings.keep_going:
                    break
    print(f"{number - settings.first + 1} rounds in {time.monotonic() - began_s:.0f} s, {len(failed)} failed")
    if failed:
        print(f"seed {seed}; logs in {data_dir / 'logs'}, journals in {data_dir / 'rounds'}")
        return 1
    shutil.rmtree(data_dir, ignore_errors=True)
    return 0


def _round(suite: SupervisedSuite, seed: str, number: int, victims: tuple[str, ...]) -> Report:
    name = f"{seed}:{number}"
    report = run_round(suite, name, draw_faults(random.Random(name), victims))
    print(report.line(), flush=True)
    for finding in report.findings:
        print(f"    {finding}", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
