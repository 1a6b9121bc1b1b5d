"""Who is a member of what, by the rule the plans tell: payments that together reach a sum, from the first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.memberships.domain.memberships import Membership, Payment, Posting, membership, payments_of
from billing.memberships.domain.plans import Plan, Span, read_plans
from common.contracts.bootstrap import AllowanceSpec, PlanSpec, RuleSpec
from common.contracts.errors import InvalidRequestError

USD = 1_000_000_000
START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
SPECS = (
    PlanSpec("free"),
    PlanSpec("vip", rank=1, rules=(RuleSpec("20", "1 month"), RuleSpec("40", "6 months"))),
    PlanSpec("premium", rank=2, rules=(RuleSpec("100", "1 month"),)),
)
PLANS = read_plans(SPECS)
MONTH, HALF_YEAR = Span(1, 0), Span(6, 0)


def paid(*payments: tuple[datetime, int]) -> list[Payment]:
    return [Payment(at, usd * USD) for at, usd in sorted(payments)]


def plan_at(now: datetime, *payments: tuple[datetime, int]) -> Membership:
    return membership(paid(*(payment for payment in payments if payment[0] <= now)), PLANS, now)


def test_twenty_make_a_member_for_a_month() -> None:
    end = datetime(2026, 2, 15, 12, 0, tzinfo=UTC)
    assert plan_at(START, (START, 20)) == Membership("vip", START, end)
    assert plan_at(end - timedelta(microseconds=1), (START, 20)).plan == "vip"
    assert plan_at(end, (START, 20)) == Membership()


def test_forty_make_a_member_for_six_months() -> None:
    end = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
    assert plan_at(START, (START, 40)) == Membership("vip", START, end)
    assert plan_at(end, (START, 40)) == Membership()


def test_twenty_more_after_the_first_month_give_five_months_more() -> None:
    expired = MONTH.after(START)
    assert plan_at(expired, (START, 20)) == Membership()
    now_is = plan_at(expired, (START, 20), (expired, 20))
    assert now_is == Membership("vip", START, HALF_YEAR.after(START))
    assert now_is.until == Span(5, 0).after(expired)


def test_payments_that_reach_the_sum_together_count_from_the_first_of_them() -> None:
    days = [START + timedelta(days=number) for number in range(4)]
    assert plan_at(days[2], (days[0], 5), (days[1], 5), (days[2], 5)) == Membership()
    now_is = plan_at(days[3], (days[0], 5), (days[1], 5), (days[2], 5), (days[3], 5))
    assert now_is == Membership("vip", START, MONTH.after(START))


def test_payments_too_far_apart_do_not_count_together() -> None:
    later = MONTH.after(START)
    assert plan_at(later, (START, 10), (later, 10)) == Membership()
    assert (
        plan_at(later - timedelta(seconds=1), (START, 10), (later - timedelta(seconds=1), 10)).plan == "vip"
    )


def test_the_highest_plan_counts_and_the_lower_one_follows_it() -> None:
    now_is = plan_at(START, (START, 100))
    assert (now_is.plan, now_is.until) == ("premium", MONTH.after(START))
    now_is = plan_at(MONTH.after(START), (START, 100))
    assert (now_is.plan, now_is.until) == ("vip", HALF_YEAR.after(START))


def test_a_membership_that_is_renewed_in_time_goes_on_since_its_beginning() -> None:
    renewed = START + timedelta(days=100)
    now_is = plan_at(renewed, (START, 40), (renewed, 40))
    assert now_is == Membership("vip", START, HALF_YEAR.after(renewed))
    late = HALF_YEAR.after(START) + timedelta(days=1)
    assert plan_at(late, (START, 40), (late, 40)).since == late


@pytest.mark.parametrize(
    ("day", "span", "end"),
    [
        ((2026, 1, 31), MONTH, (2026, 2, 28)),
        ((2028, 1, 31), MONTH, (2028, 2, 29)),
        ((2026, 8, 31), HALF_YEAR, (2027, 2, 28)),
        ((2026, 12, 15), MONTH, (2027, 1, 15)),
        ((2026, 3, 31), Span(0, 30), (2026, 4, 30)),
    ],
)
def test_months_are_those_of_the_calendar(
    day: tuple[int, int, int], span: Span, end: tuple[int, int, int]
) -> None:
    assert span.after(datetime(*day, 23, 59, tzinfo=UTC)) == datetime(*end, 23, 59, tzinfo=UTC)


def test_a_refund_takes_from_the_payment_it_names_and_a_nameless_one_from_the_newest() -> None:
    later = START + timedelta(days=40)
    first, second = Posting("payment", 20 * USD, "a", START), Posting("redemption", 20 * USD, "b", later)
    named = Posting("chargeback", 20 * USD, "a", later + timedelta(days=1))
    assert [payment.at for payment in payments_of([first, second, named])] == [later]
    nameless = Posting("payment_refund", 25 * USD, "x", later + timedelta(days=1))
    assert [(p.at, p.amount_nano) for p in payments_of([first, second, nameless])] == [(START, 15 * USD)]
    returned = Posting("payment_refund_reversed", 25 * USD, "y", later + timedelta(days=2))
    kept = payments_of([first, second, nameless, returned])
    assert [payment.amount_nano for payment in kept] == [20 * USD, 20 * USD]


def test_more_taken_than_paid_leaves_nothing_and_no_debt() -> None:
    postings = [
        Posting("topup", 5 * USD, "a", START),
        Posting("chargeback", 9 * USD, "x", START + timedelta(days=1)),
        Posting("topup", 20 * USD, "b", START + timedelta(days=2)),
    ]
    assert [payment.amount_nano for payment in payments_of(postings)] == [20 * USD]


moments = st.integers(0, 400 * 24).map(lambda hours: START + timedelta(hours=hours))
histories = st.lists(st.tuples(moments, st.integers(1, 60)), max_size=12)


def naive(payments: list[Payment], plans: tuple[Plan, ...], now: datetime) -> tuple[str, datetime | None]:
    """The rule word by word: for every first payment, everything less than the span after it."""
    for plan in plans:
        ends = [
            rule.gives.after(first.at)
            for rule in plan.rules
            for number, first in enumerate(payments)
            if sum(p.amount_nano for p in payments[number:] if p.at < rule.within.after(first.at))
            >= rule.amount_nano
        ]
        if max(ends, default=now) > now:
            return plan.name, max(ends)
    return "", None


@given(histories, moments)
def test_the_rule_is_its_words(history: list[tuple[datetime, int]], now: datetime) -> None:
    payments = paid(*(payment for payment in history if payment[0] <= now))
    found = membership(payments, PLANS, now)
    assert (found.plan, found.until) == naive(payments, PLANS, now)
    if found.since is not None:
        assert found.since in {payment.at for payment in payments}


@given(histories, st.tuples(moments, st.integers(1, 60)), moments)
def test_paying_more_never_takes_anything(
    history: list[tuple[datetime, int]], more: tuple[datetime, int], now: datetime
) -> None:
    ranks = {"": 0, "vip": 1, "premium": 2}
    before = membership(paid(*history), PLANS, now)
    after = membership(paid(*history, more), PLANS, now)
    assert ranks[after.plan] >= ranks[before.plan]
    if after.plan == before.plan and before.until is not None:
        assert after.until is not None
        assert after.until >= before.until


@given(histories)
def test_a_payment_that_was_refunded_was_never_made(history: list[tuple[datetime, int]]) -> None:
    postings = [
        Posting("payment", usd * USD, str(number), at) for number, (at, usd) in enumerate(sorted(history))
    ]
    refunds = [
        Posting("payment_refund", p.amount_nano, p.reference, p.at + timedelta(days=500))
        for p in postings[::2]
    ]
    assert [p.reference for p in payments_of(postings + refunds)] == [p.reference for p in postings[1::2]]


@pytest.mark.parametrize(
    "plans",
    [
        (PlanSpec("a"), PlanSpec("b", rank=1)),
        (PlanSpec("a"), PlanSpec("a", rank=1, rules=(RuleSpec("1", "1 day"),))),
        (PlanSpec("a", rank=1, rules=(RuleSpec("1", "1 day"),)), PlanSpec("b", rank=1)),
        (PlanSpec("a", rules=(RuleSpec("0", "1 day"),)),),
        (PlanSpec("a", rules=(RuleSpec("-1", "1 day"),)),),
        (PlanSpec("a", rules=(RuleSpec("0.0000000001", "1 day"),)),),
        (PlanSpec("a", rules=(RuleSpec("1", "a month"),)),),
        (PlanSpec("a", rules=(RuleSpec("1", "0 days"),)),),
        (PlanSpec("a", rules=(RuleSpec("1", "1001 years"),)),),
        (PlanSpec("a", allowance=AllowanceSpec("0")),),
        (PlanSpec("a", allowance=AllowanceSpec("1", time_zone="Mars/Olympus")),),
        (PlanSpec("a", allowance=AllowanceSpec("1", time_zone="../etc/passwd")),),
        (PlanSpec("a", models=("",)),),
        (PlanSpec("a", group="\0"),),
        (PlanSpec(""),),
        tuple(PlanSpec(str(rank), rank=rank, rules=(RuleSpec("1", "1 day"),)) for rank in range(51)),
    ],
)
def test_plans_that_cannot_be_are_refused(plans: tuple[PlanSpec, ...]) -> None:
    with pytest.raises(InvalidRequestError):
        read_plans(plans)
