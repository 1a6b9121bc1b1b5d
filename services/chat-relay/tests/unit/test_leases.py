"""A lease's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_relay.domain.leases import Lease, Spend, shortfalls
from common.contracts.leases import LeaseGrant, LeaseRequest


def granted(amount_nano: int, *, ttl_s: float = 10, asked_at_s: float = 100) -> Lease:
    lease = Lease("lease")
    lease.granted(LeaseGrant("lease", 0, amount_nano, ttl_s), asked_at_s)
    return lease


def test_the_time_to_live_counts_from_before_the_question() -> None:
    lease = granted(5, ttl_s=10, asked_at_s=100)
    assert lease.usable(109.9)
    assert not lease.usable(110)


def test_grants_add_up_and_each_renews() -> None:
    lease = granted(5)
    lease.granted(LeaseGrant("lease", 1, 7, 10, low=True), 105)
    assert (lease.granted_nano, lease.deadline_s, lease.sequence, lease.low) == (12, 115, 2, True)


def test_a_closed_lease_takes_nothing_and_tells_what_is_unspent() -> None:
    lease = granted(100)
    lease.reserved_nano, lease.settled_nano = 30, 20
    call = lease.close()
    assert (call.sequence, call.unspent_nano) == (1, 50)
    assert not lease.usable(0)


def test_the_close_follows_a_question_whose_answer_never_came() -> None:
    lease = granted(1)
    lease.pending = LeaseRequest("lease", 1, "r", "a", "s")
    assert lease.close().sequence == 2


def test_an_answer_dearer_than_its_hold_never_makes_the_unspent_negative() -> None:
    lease = granted(10)
    lease.settled_nano = 15
    assert lease.free_nano == -5
    assert lease.unspent_nano == 0


@given(st.lists(st.integers(1, 100), max_size=20), st.integers(-50, 500))
def test_what_is_asked_for_covers_the_needs_exactly(needs: list[int], free: int) -> None:
    asked = shortfalls(needs, free)
    assert all(amount > 0 for amount in asked)
    left = max(0, free) + sum(asked) - sum(needs)
    assert left >= 0
    assert left == 0 or sum(asked) == 0 or left < max(0, free)


@pytest.mark.parametrize(
    ("needs", "free", "asked"), [([3, 4], 0, (3, 4)), ([3, 4], 5, (2,)), ([9, 1], 5, (4, 1))]
)
def test_free_money_is_dealt_out_first(needs: list[int], free: int, asked: tuple[int, ...]) -> None:
    assert shortfalls(needs, free) == asked


def test_what_is_liked_follows_the_largest_hold_and_the_speed_of_spending() -> None:
    spend = Spend(0)
    spend.reserved(10)
    assert spend.liked_nano(0.1, 30) == 80
    spend.settled(1_000)
    assert spend.liked_nano(1.1, 30) == 1_000 * 1000 // 1100 * 30
    assert spend.liked_nano(2.2, 30) == (1_000 * 1000 // 1100 // 2) * 30
