"""What must hold after a round: usage records against the upstream's own count and what the clients got.

Pure functions over the round's evidence; each finding is one sentence that names the request.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from chaos.faults import Outage
from chaos.workload import PROMPT, Attempt
from e2e.suite import PRICE, Person

PUBLISH_S = 0.5
"""A relay stores a usage record within this time while NATS answers; killed before, it loses the record."""
LONGEST_WAIT_S = 8.0
"""No request may leave its client without an answer, or without the next chunk, for longer than this."""
TOKENS_PER_SERVED = 2
SHORT_ANSWER_TOKENS = 8
"""The estimator counts each token of the workload's text as one or two, a short answer a few more: what a
frame has besides its text is learnt from the first frames.
"""
ESTIMATED_INPUT = 4 + (len(PROMPT) + 3) // 4
"""Its count for the workload's prompt: 4 for the message and one for each 4 ASCII characters."""
SWEEP_S = 2.5
"""Billing looks for expired leases this often, with a margin for a busy machine."""
REDELIVERY_S = 6.0
"""What billing had fetched when it was killed, or could not acknowledge, JetStream hands out again after this
time; until then leases that it may concern are not expired.
"""
BILLING_NEEDS = {"billing", "postgres", "nats", "billing>postgres", "billing>nats"}
RECONNECT_S = 2.0
"""How long a client takes to notice that the broker is back, and to send again what got lost."""
# Refusals that an outage explains. 401, 404 and 500 are none: a service that is away is not a wrong key.
REFUSALS = {402, 429, 502, 503, 504}


class Served(msgspec.Struct, frozen=True):
    """What the simulator wrote under one request id (its README, `by_id`)."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    outcome: str


class Wallet(msgspec.Struct, frozen=True):
    """One account after the round; `poor` may run out of money, the others have plenty."""

    person: Person
    topped_up: Decimal
    balance: Decimal
    held: Decimal
    poor: bool


class Expiry(msgspec.Struct, frozen=True):
    """A lease that the ledger expired: when it was due and when its money went back (Unix seconds)."""

    lease: str
    due_s: float
    returned_s: float


class Evidence(msgspec.Struct, frozen=True):
    """All that is known of one round; `records` are its accounts' usage records as the API tells them."""

    attempts: Sequence[Attempt]
    served: dict[str, Served]
    records: Sequence[dict[str, Any]]
    outages: Sequence[Outage]
    wallets: Sequence[Wallet]
    expiries: Sequence[Expiry] = ()


def answer_findings(evidence: Evidence) -> list[str]:
    """What is wrong with the answers that clients got."""
    return list(_answers(evidence))


def book_findings(evidence: Evidence) -> list[str]:
    """What is wrong with the books; they may need a moment after the load until nothing is."""
    checks = (_charged_once, _tokens, _unbilled, _money, _expiries)
    return [finding for check in checks for finding in check(evidence)]


def unbilled(evidence: Evidence) -> list[Attempt]:
    """The attempts that the upstream served and nobody was charged for."""
    billed = {record["request_id"] for record in evidence.records}
    return [
        attempt
        for attempt in evidence.attempts
        if attempt.id in evidence.served
        and attempt.id not in billed
        and not _is_free(attempt, evidence.served[attempt.id])
    ]


def _is_free(attempt: Attempt, served: Served) -> bool:
    """An answer that nobody got a byte of and the upstream broke off costs nothing."""
    return attempt.kind == "json" and served.outcome != "complete"


def _answers(evidence: Evidence) -> Iterator[str]:
    """Every client was answered in time and nobody took half an answer for a whole one."""
    for attempt in evidence.attempts:
        if attempt.ending == "hung" or attempt.waited_s > LONGEST_WAIT_S:
            yield f"{_name(attempt)} waited {attempt.waited_s:.1f} s"
        if attempt.status not in {0, 200} and attempt.status not in REFUSALS:
            yield f"{_name(attempt)} was refused with {attempt.status} {attempt.code}"
        if attempt.code == "DecodeError":
            yield f"{_name(attempt)} got an answer that is no JSON"
        if attempt.ending == "complete":
            yield from _complete_answer(attempt, evidence.served.get(attempt.id))


def _complete_answer(attempt: Attempt, served: Served | None) -> Iterator[str]:
    if served is None:
        yield f"{_name(attempt)} was answered, but the upstream never was asked"
        return
    if served.outcome != "complete":
        yield f"{_name(attempt)} took half an answer for a whole one: the upstream ended {served.outcome}"
    if attempt.kind != "json" and attempt.chunks != served.completion_tokens:
        yield f"{_name(attempt)} got {attempt.chunks} of {served.completion_tokens} chunks, and [DONE]"
    told = (attempt.prompt_tokens, attempt.completion_tokens)
    if told[0] is not None and told != (served.prompt_tokens, served.completion_tokens):
        yield f"{_name(attempt)} was told {told}, the upstream counted {served}"


def _charged_once(evidence: Evidence) -> Iterator[str]:
    for field in ("id", "request_id"):
        for value, count in Counter(record[field] for record in evidence.records).items():
            if count > 1:
                yield f"{count} usage records have the {field} {value}"
    known = {attempt.id for attempt in evidence.attempts}
    for record in evidence.records:
        if record["request_id"] not in known:
            yield f"usage record {record['id']} is of {record['request_id']}, which nobody asked"


def _tokens(evidence: Evidence) -> Iterator[str]:
    """Never more tokens than were served; exactly those when the upstream said so; the price is right."""
    attempts = {attempt.id: attempt for attempt in evidence.attempts}
    for record in evidence.records:
        attempt = attempts.get(record["request_id"])
        served = evidence.served.get(record["request_id"], Served(0, 0, 0, "none"))
        counts = (record["quantities"].get("input", 0), record["quantities"].get("output", 0))
        truth = (served.prompt_tokens, served.completion_tokens)
        if record["estimated"]:
            lowest = 0 if attempt is None else attempt.chunks
            highest = TOKENS_PER_SERVED * truth[1] + SHORT_ANSWER_TOKENS if truth[1] else 0
            if counts[0] not in {0, ESTIMATED_INPUT} or not lowest <= counts[1] <= highest:
                yield f"{record['request_id']} is estimated at {counts}, served {truth}, {lowest} arrived"
        elif counts != truth:
            yield f"{record['request_id']} is billed {counts}, served {truth}"
        cost = Decimal(counts[0] * PRICE["input"] + counts[1] * PRICE["output"]) / 10**12
        if Decimal(record["cost"]) != cost:
            yield f"{record['request_id']} costs {record['cost']}, its tokens {cost}"


def _unbilled(evidence: Evidence) -> Iterator[str]:
    """Only what was under way in a relay when it was killed may go unbilled."""
    for attempt in unbilled(evidence):
        if not any(_lost_with(attempt, outage, evidence.outages) for outage in evidence.outages):
            yield f"{_name(attempt)} was served {evidence.served[attempt.id]} and never billed"


def _lost_with(attempt: Attempt, outage: Outage, outages: Sequence[Outage]) -> bool:
    """Whether the relay held its usage when it was killed: it could not publish yet, or NATS was away."""
    if outage.victim != "chat-relay" or outage.kind != "kill" or attempt.began_s > outage.killed_s:
        return False
    since_s = outage.killed_s - PUBLISH_S
    earlier = [other for other in outages if other.killed_s < outage.killed_s]
    for other in sorted(earlier, key=lambda other: other.killed_s, reverse=True):
        held_up = other.keeps_from("chat-relay", "nats") or other.victim == "chat-relay"
        if held_up and other.ready_s + RECONNECT_S > since_s:
            since_s = min(since_s, other.killed_s - PUBLISH_S)
    return attempt.ended_s > since_s


def _money(evidence: Evidence) -> Iterator[str]:
    """To the nano: what came in is what is there, what is held and what was charged."""
    for wallet in evidence.wallets:
        name = f"wallet {wallet.person.account}"
        charged = [record for record in evidence.records if record["account"] == wallet.person.account]
        spent = sum((Decimal(record["charged"]) for record in charged), Decimal(0))
        uncollected = sum((Decimal(record["uncollected"]) for record in charged), Decimal(0))
        cost = sum((Decimal(record["cost"]) for record in charged), Decimal(0))
        if wallet.balance < 0 or wallet.held < 0:
            yield f"{name} is negative: {wallet.balance}, held {wallet.held}"
        if wallet.topped_up != wallet.balance + wallet.held + spent:
            yield f"{name} had {wallet.topped_up}, spent {spent}, has {wallet.balance}"
        if cost != spent + uncollected:
            yield f"{name} owes {cost}, paid {spent}, {uncollected} is uncollected"
        if uncollected and not wallet.poor:
            yield f"{name} did not pay {uncollected} although it has {wallet.balance}"
        if wallet.held:
            yield f"{name} still has {wallet.held} held"


def _expiries(evidence: Evidence) -> Iterator[str]:
    """A lease of a dead replica comes back at two TTLs, or as soon as billing and what it needs are back."""
    for expiry in evidence.expiries:
        possible_s = max(
            [expiry.due_s]
            + [
                outage.ready_s + REDELIVERY_S
                for outage in evidence.outages
                if outage.victim in BILLING_NEEDS and outage.killed_s < expiry.due_s + SWEEP_S
            ]
        )
        late_s = expiry.returned_s - possible_s
        if late_s > SWEEP_S:
            yield f"lease {expiry.lease} came back {late_s:.1f} s late"


def _name(attempt: Attempt) -> str:
    return f"{attempt.kind} {attempt.id} ({attempt.model}, {attempt.ending})"
