"""What is done to the suite in one round, drawn from a seed, and what came of it."""

import random

import msgspec

FIRST_S = 0.6
LAST_S = 3.0
LONGEST_DOWN_S = 1.5
BOTH_SHARE = 0.4


class Fault(msgspec.Struct, frozen=True):
    """SIGKILL of `victim`, `at_s` seconds after the load began; it is started again `down_s` later."""

    at_s: float
    victim: str
    down_s: float


class Outage(msgspec.Struct, frozen=True):
    """When the victim was killed and when it was ready again (Unix seconds), after how many starts."""

    victim: str
    killed_s: float
    ready_s: float
    attempts: int


def draw_faults(rng: random.Random, victims: tuple[str, ...]) -> tuple[Fault, ...]:
    """One victim, or sometimes two whose outages may overlap; in the order of time."""
    both = len(victims) > 1 and rng.random() < BOTH_SHARE
    chosen = rng.sample(victims, 2 if both else 1)
    faults = [draw_fault(rng, victim) for victim in chosen]
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def draw_fault(rng: random.Random, victim: str) -> Fault:
    """A kill of `victim` while the load runs; half of the restarts are immediate."""
    down_s = rng.choice((0.0, rng.uniform(0.1, LONGEST_DOWN_S)))
    return Fault(round(rng.uniform(FIRST_S, LAST_S), 3), victim, round(down_s, 3))
