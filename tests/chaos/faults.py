"""What is done to the suite, drawn from a seed, and what came of it."""

import random
from typing import Literal

import msgspec

FIRST_S = 0.5
PAUSE_S = (0.4, 1.2)
"""The next fault comes this long after the last one began, whether that is over or not."""
LAST_S = 4.6
LONGEST_S = 1.5
DELAYS_S = (0.005, 0.05)

Kind = Literal["kill", "pause", "cut", "freeze", "delay", "duplicate", "reorder"]
PART_KINDS: tuple[Kind, ...] = ("kill", "kill", "pause")
LINK_KINDS: tuple[Kind, ...] = ("cut", "freeze", "delay")
BUS_KINDS: tuple[Kind, ...] = (*LINK_KINDS, "duplicate", "reorder")


class Fault(msgspec.Struct, frozen=True):
    """One thing done to `victim`, `at_s` seconds after the load began, and undone `down_s` later.

    The victim of a `kill` (SIGKILL, then started again) or `pause` (SIGSTOP, SIGCONT) is a part; of the
    others it is a link such as `billing>postgres`: `cut` resets and refuses connections, `freeze` keeps them
    and carries nothing, `delay` carries all `delay_s` later, `duplicate` and `reorder` touch messages.
    """

    at_s: float
    victim: str
    down_s: float
    kind: Kind = "kill"
    delay_s: float = 0.0

    def told(self) -> str:
        """For people: `cut billing>nats at 1.2 s for 0.8 s`."""
        return f"{self.kind} {self.victim} at {self.at_s:.1f} s for {self.down_s:.1f} s"


class Outage(msgspec.Struct, frozen=True):
    """When the fault struck and when the victim was ready again (Unix seconds), after how many starts."""

    victim: str
    killed_s: float
    ready_s: float
    attempts: int
    kind: Kind = "kill"

    def keeps_from(self, part: str, server: str) -> bool:
        """Whether `part` could not use `server` meanwhile: the server was away, or the way to it."""
        return self.victim in {server, f"{part}>{server}"}


def draw_faults(rng: random.Random, parts: tuple[str, ...], links: tuple[str, ...]) -> tuple[Fault, ...]:
    """Faults every 0.4-1.2 s for as long as the load runs, in the order of time; half of them hit parts."""
    faults = []
    at_s = FIRST_S
    while at_s < LAST_S:
        faults.append(draw_fault(rng, parts, links, round(at_s, 3)))
        at_s += rng.uniform(*PAUSE_S)
    return tuple(faults)


def draw_fault(rng: random.Random, parts: tuple[str, ...], links: tuple[str, ...], at_s: float) -> Fault:
    """One fault; half of the restarts after a kill are immediate."""
    if not links or (parts and rng.random() < 0.5):
        kind = rng.choice(PART_KINDS)
        victim = rng.choice(parts)
    else:
        victim = rng.choice(links)
        kind = rng.choice(BUS_KINDS if victim.endswith(">nats") else LINK_KINDS)
    down_s = rng.uniform(0.1, LONGEST_S)
    if kind == "kill":
        down_s = rng.choice((0.0, down_s))
    delay_s = round(rng.uniform(*DELAYS_S), 3) if kind == "delay" else 0.0
    return Fault(at_s, victim, round(down_s, 3), kind, delay_s)
