"""Two model lists become one that covers what both cover."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.bootstrap import PlanSpec, RuleSpec
from common.contracts.plans import PlanBook
from common.contracts.principals import Principal
from gateway.domain.plans import Plans, intersect_models

entries = st.text("ab", max_size=3).flatmap(lambda text: st.sampled_from([text, text + "*"]))
lists = st.none() | st.lists(entries, max_size=4).map(tuple)


def covers(models: tuple[str, ...] | None, model: str) -> bool:
    return Principal("", "", "", "", 0, "", 0, models=models).allows_model(model)


@given(lists, lists, st.text("ab", max_size=4))
def test_a_model_is_allowed_when_both_lists_allow_it(
    own: tuple[str, ...] | None, allowed: tuple[str, ...] | None, model: str
) -> None:
    assert covers(intersect_models(own, allowed), model) == (covers(own, model) and covers(allowed, model))


@pytest.mark.parametrize(
    ("own", "allowed", "both"),
    [
        (None, None, None),
        (("a",), None, ("a",)),
        (None, ("a*",), ("a*",)),
        (("gpt-4o-mini", "claude"), ("gpt-*",), ("gpt-4o-mini",)),
        (("gpt-*",), ("gpt-4o*",), ("gpt-4o*",)),
        (("a",), ("b",), ()),
    ],
)
def test_lists_by_example(
    own: tuple[str, ...] | None, allowed: tuple[str, ...] | None, both: tuple[str, ...] | None
) -> None:
    assert intersect_models(own, allowed) == both


def test_the_plan_without_rules_is_everybodys_and_a_book_that_says_the_same_is_no_news() -> None:
    free, vip = PlanSpec("free"), PlanSpec("vip", 1, "vip", rules=(RuleSpec("1", "1 day"),))
    plans = Plans((vip, free))
    assert plans.base == free
    assert plans.groups == ["vip"]
    assert not plans.replace(PlanBook(3, (vip, free)))
    assert plans.replace(PlanBook(4, (vip,)))
    assert plans.named("vip") == vip
    assert [plans.base, plans.named("free")] == [None, None]
