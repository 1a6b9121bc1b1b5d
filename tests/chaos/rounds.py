"""One stretch of rounds: load from one process, a fault a round from this one, then quiet, then the books."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec

from chaos.checks import (
    REDELIVERY_S,
    SWEEP_S,
    Evidence,
    Expiry,
    Served,
    Wallet,
    answer_findings,
    book_findings,
    unbilled,
)
from chaos.faults import Fault, Outage
from chaos.supervisor import LEASE_TTL_S, SupervisedSuite
from chaos.workload import PROMPT, Attempt, Client, Plan
from common.kit.ids import uuid7
from e2e.suite import Operator, Person

RICH_USD = "10"
POOR_USD = "0.0008"
"""Covers the reservations of four requests at a time and the cost of a dozen."""
WORKLOAD_TIMEOUT_S = 90.0
RECOVERY_S = 10.0
"""Within this time after the last victim is ready, every account is served again."""
SETTLE_S = REDELIVERY_S + 2 * LEASE_TTL_S + SWEEP_S
POLL_S = 0.1
EXPIRIES = """
SELECT l.id, extract(epoch FROM l.expires_at), extract(epoch FROM t.posted_at)
FROM leases l JOIN transfers t ON t.reference = l.id AND t.kind = 'lease_expire'
WHERE l.account IN ({accounts})
"""
MONEY_IN = """
SELECT sum(credits - debits) FROM accounts
WHERE kind IN ('wallet', 'held') OR name IN ('revenue', 'uncollected')
"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a stretch was and what came of it; a good one has no `findings`. `settled_s` is None when it never
    became quiet. `faults` are those that struck.
    """

    seed: str
    faults: Sequence[Fault]
    outages: Sequence[Outage]
    endings: dict[str, int]
    longest_wait_s: float
    unbilled: int
    recovered_s: float
    settled_s: float | None
    findings: Sequence[str]
    journal: str

    def line(self) -> str:
        """The stretch on one line, for people."""
        faults = ", ".join(fault.told() for fault in self.faults)
        endings = ", ".join(f"{count} {ending}" for ending, count in sorted(self.endings.items()))
        settled = "never settled" if self.settled_s is None else f"settled after {self.settled_s:.1f} s"
        verdict = f"{len(self.findings)} FINDINGS" if self.findings else "clean"
        return (
            f"{self.seed}: {faults}; {endings}; longest wait {self.longest_wait_s:.1f} s; "
            f"{self.unbilled} unbilled; served again after {self.recovered_s:.1f} s; {settled}; {verdict}"
        )


def run_stretch(suite: SupervisedSuite, seed: str, faults: Sequence[Fault]) -> Report:
    """Load, faults, quiet, books. Raises ServerError when a victim cannot be started again at all."""
    people = [suite.operator.person(balance) for balance in (RICH_USD, RICH_USD, RICH_USD, POOR_USD)]
    suite.topped_up += 3 * Decimal(RICH_USD) + Decimal(POOR_USD)
    httpx.post(f"{suite.simulator}/_sim/reset").raise_for_status()
    clients = tuple(Client(person.account, person.key, 3) for person in people)
    journal = suite.data_dir / "rounds" / f"{seed.replace(':', '-')}.jsonl"
    journal.parent.mkdir(exist_ok=True)
    plan = Plan(suite.operator.url, clients, seed)
    struck, outages = _load_and_strike(suite, plan, faults, journal)
    found = suite.deaths()
    if found:
        outages += suite.outages()
    ready_s = max((outage.ready_s for outage in outages), default=time.time())
    probes, late = _probe_until_served(suite.operator, people, ready_s)
    attempts = [msgspec.json.decode(line, type=Attempt) for line in journal.read_bytes().splitlines()]
    evidence, settled_s = _settle(suite, people, [*attempts, *probes], outages)
    found += late + answer_findings(evidence) + book_findings(evidence) + _audit(suite.operator)
    found += _ledger(suite) + _changed(suite)
    suite.closed = evidence.wallets
    return Report(
        seed=seed,
        faults=struck,
        outages=outages,
        endings=dict(Counter(_ending(attempt) for attempt in attempts)),
        longest_wait_s=max(attempt.waited_s for attempt in attempts),
        unbilled=len(unbilled(evidence)),
        recovered_s=_served_again_s([*attempts, *probes], ready_s),
        settled_s=settled_s,
        findings=found,
        journal=str(journal),
    )


def _load_and_strike(
    suite: SupervisedSuite, plan: Plan, faults: Sequence[Fault], journal: Path
) -> tuple[list[Fault], list[Outage]]:
    """The faults that struck (a part that is down already is left alone), and what became of them."""
    struck = []
    command = [sys.executable, "-m", "chaos.workload", str(journal)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environ) as workload:
        try:
            if workload.stdin is None or workload.stdout is None:
                raise RuntimeError("the workload has no pipes")
            workload.stdin.write(msgspec.json.encode(plan))
            workload.stdin.close()
            workload.stdout.readline()
            begun_s = time.monotonic()
            for fault in faults:
                time.sleep(max(0.0, begun_s + fault.at_s - time.monotonic()))
                if suite.strike(fault):
                    struck.append(fault)
            outages = suite.outages()
            if workload.wait(WORKLOAD_TIMEOUT_S) != 0:
                raise RuntimeError(f"the workload ended with {workload.returncode}")
        finally:
            workload.kill()
    return struck, outages


def _probe_until_served(
    operator: Operator, people: Sequence[Person], ready_s: float
) -> tuple[list[Attempt], list[str]]:
    """One request per person again and again until it succeeds; those that had to wait too long."""
    probes: list[Attempt] = []
    late: list[str] = []
    for person in people[:-1]:
        while True:
            probe = _probe(operator, person)
            probes.append(probe)
            if probe.status == 200:
                break
            if probe.ended_s - ready_s > RECOVERY_S:
                late.append(f"not served {RECOVERY_S:g} s after the faults: {probe.status} {probe.code}")
                break
            time.sleep(POLL_S)
    return probes, late


def _probe(operator: Operator, person: Person) -> Attempt:
    """A small JSON request by a client without any patience of its own."""
    began_s = time.time()
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 50}
    request_id = uuid7()
    headers = {"authorization": f"Bearer {person.key}", "x-request-id": request_id}
    status, code = 0, ""
    try:
        answer = httpx.post(f"{operator.base_url}/chat/completions", json=body, headers=headers, timeout=30)
    except httpx.HTTPError as error:
        code = type(error).__name__
    else:
        status = answer.status_code
        code = "" if status == 200 else str(answer.json()["error"]["code"])
    return Attempt(
        id=request_id,
        account=person.account,
        kind="json",
        model="gpt-4o-mini",
        began_s=began_s,
        ended_s=time.time(),
        ending="complete" if status == 200 else "refused" if status else "cut",
        status=status,
        code=code,
    )


def _settle(
    suite: SupervisedSuite, people: Sequence[Person], attempts: Sequence[Attempt], outages: Sequence[Outage]
) -> tuple[Evidence, float | None]:
    """The evidence once nothing is wrong with the books any more, or when the time for that is over.

    The time counts from the last request, which may have taken a lease, or the last recovery.
    """
    quiet_s = max([attempt.ended_s for attempt in attempts] + [outage.ready_s for outage in outages])
    while True:
        evidence = _evidence(suite, people, attempts, outages)
        settled_s = time.time() - quiet_s
        if not book_findings(evidence):
            return evidence, settled_s
        if settled_s > SETTLE_S:
            return evidence, None
        time.sleep(POLL_S)


def _evidence(
    suite: SupervisedSuite, people: Sequence[Person], attempts: Sequence[Attempt], outages: Sequence[Outage]
) -> Evidence:
    answer = httpx.get(f"{suite.simulator}/_sim/served")
    served = msgspec.convert(answer.json()["by_id"], dict[str, Served])
    records: list[dict[str, Any]] = []
    wallets = []
    for person in people:
        wallet, usage = _statement(suite.operator, person)
        records += usage
        poor = person is people[-1]
        wallets.append(Wallet(person, Decimal(POOR_USD if poor else RICH_USD), *wallet, poor))
    accounts = ",".join(f"'{person.account}'" for person in people)
    rows = suite.sql(EXPIRIES.format(accounts=accounts), "billing")
    expiries = [Expiry(lease, float(due_s), float(returned_s)) for lease, due_s, returned_s in rows]
    return Evidence(attempts, served, records, outages, wallets, expiries)


def _statement(operator: Operator, person: Person) -> tuple[tuple[Decimal, Decimal], list[dict[str, Any]]]:
    """Wallet and usage records of one moment."""
    while True:
        wallet = operator.wallet(person)
        usage = operator.usage(person)
        if operator.wallet(person) == wallet:
            return wallet, usage


def _served_again_s(attempts: Sequence[Attempt], ready_s: float) -> float:
    """Seconds from the last recovery to the first whole answer to a request that was made after it."""
    times = [
        attempt.ended_s for attempt in attempts if attempt.ending == "complete" and attempt.began_s > ready_s
    ]
    return min(times, default=float("inf")) - ready_s


def _ledger(suite: SupervisedSuite) -> list[str]:
    """All that ever came in is in a wallet, held, or revenue that somebody paid."""
    ((nano,),) = suite.sql(MONEY_IN, "billing")
    if Decimal(nano) / 10**9 == suite.topped_up:
        return []
    return [f"the ledger has {nano} nano-USD, top-ups were {suite.topped_up}"]


def _changed(suite: SupervisedSuite) -> list[str]:
    """Accounts of the round before, whose books were closed, and on which something was booked since."""
    return [
        f"wallet {wallet.person.account} changed after its round"
        for wallet in suite.closed
        if suite.operator.wallet(wallet.person) != (wallet.balance, wallet.held)
    ]


def _audit(operator: Operator) -> list[str]:
    """The ledger's own checks that fail."""
    answer = operator.admin.post("/api/billing/audit", json={}, timeout=60)
    answer.raise_for_status()
    return [
        f"audit: {check['name']}: {check['detail']}" for check in answer.json()["checks"] if not check["ok"]
    ]


def _ending(attempt: Attempt) -> str:
    return f"{attempt.ending} {attempt.status}" if attempt.ending == "refused" else attempt.ending
