"""Files of upstreams: what is read from them, and the differences found, exactly."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.domain.audits import Period
from billing.seals.domain.reconciliations import Billed, Tolerance
from billing.seals.usecases.reconciliations import reconcile
from common.contracts.errors import InvalidRequestError

ALWAYS = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
DAY = 1_767_225_600  # 2026-01-01


def billed(request_id: str, prompt: int = 10, completion: int = 5, nano: int | None = 1000) -> Billed:
    return Billed(request_id, "gpt", "2026-01-01", prompt, completion, 2000, nano)


class FakeUsage:
    """Records of one channel."""

    def __init__(self, *records: Billed) -> None:
        self.records = records

    async def stream(self, _channel: str, _period: Period) -> AsyncIterator[list[Billed]]:
        yield list(self.records)


async def compare(
    body: str,
    *records: Billed,
    tolerance: Tolerance = Tolerance(),  # noqa: B008  immutable
) -> dict[str, Any]:
    return await reconcile(FakeUsage(*records), body, "sim", ALWAYS, tolerance)


async def test_the_same_on_both_sides_is_no_difference() -> None:
    body = "request_id,model,prompt_tokens,completion_tokens,cost\na,gpt,10,5,0.000001\nb,gpt,10,5,0.000001\n"
    report = await compare(body, billed("a"), billed("b"))
    assert report["ok"]
    assert report["matched"] == 2
    assert report["here"] == report["there"]
    assert report["here"]["cost"] == "0.000002"


async def test_each_kind_of_difference_is_found_and_the_dearest_is_first() -> None:
    body = (
        '{"id": "a", "input_tokens": 10, "output_tokens": 6}\n'
        '{"id": "b", "input_tokens": 10, "output_tokens": 5, "cost": "0.5"}\n\n'
        '{"id": "only-there", "input_tokens": 1}\n'
        '{"id": "same", "input_tokens": 10, "output_tokens": 5, "cost": 0.000001}\n'
    )
    report = await compare(body, billed("a"), billed("b"), billed("only-here"), billed("same"))
    assert not report["ok"]
    counts = {kind: report[kind] for kind in ("matched", "missing_here", "missing_there", "differing")}
    assert counts == {"matched": 1, "missing_here": 1, "missing_there": 1, "differing": 2}
    worst = [(row["key"], row["kind"], row["fields"]) for row in report["worst"]]
    assert worst[0] == ("b", "differs", ["cost"])
    assert ("a", "differs", ["completion_tokens"]) in worst
    assert ("only-there", "missing_here", []) in worst
    assert ("only-here", "missing_there", []) in worst


async def test_attempts_of_one_request_are_added_on_both_sides() -> None:
    body = "request_id,prompt_tokens\na,10\na,10\n"
    assert (await compare(body, billed("a"), billed("a")))["ok"]
    assert not (await compare(body, billed("a")))["ok"]


@pytest.mark.parametrize(
    ("tolerance", "ok"),
    [(Tolerance(), False), (Tolerance(tokens=2), True), (Tolerance(share_micro=200_000), True),
     (Tolerance(tokens=1), False), (Tolerance(share_micro=10_000), False)],
)  # fmt: skip
async def test_small_differences_may_be_allowed(tolerance: Tolerance, *, ok: bool) -> None:
    report = await compare("id,prompt_tokens\na,12\n", billed("a"), tolerance=tolerance)
    assert report["ok"] is ok


def page(*results: str, kind: str = "completions") -> str:
    rows = ",".join(results)
    return f'{{"object":"page","data":[{{"object":"bucket","start_time":{DAY},"results":[{rows}]}}]}}'


async def test_openai_usage_is_compared_by_day_and_model() -> None:
    result = '{"input_tokens":20,"output_tokens":10,"num_model_requests":2,"model":"gpt"}'
    report = await compare(page(result), billed("a"), billed("b"))
    assert report["ok"], report
    assert report["by"] == "day and model"
    report = await compare(page(result), billed("a"))
    assert report["worst"][0]["fields"] == ["requests", "prompt_tokens", "completion_tokens"]


async def test_openai_usage_without_models_is_compared_by_day() -> None:
    result = '{"input_tokens":20,"output_tokens":10,"num_model_requests":2,"model":null}'
    other = Billed("b", "another", "2026-01-01", 10, 5, 2000, None)
    assert (await compare(page(result), billed("a"), other))["ok"]


async def test_openai_costs_are_compared_with_what_the_upstream_was_expected_to_charge() -> None:
    result = '{"amount":{"value":0.000002,"currency":"usd"},"line_item":null}'
    assert (await compare(page(result), billed("a"), billed("b")))["ok"]
    report = await compare(page(result), billed("a"))
    assert report["worst"][0]["fields"] == ["cost"]
    with pytest.raises(InvalidRequestError, match="eur"):
        await compare(page(result.replace("usd", "eur")), billed("a"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("request_id,prompt_tokens\na,ten\n", "Line 2"),
        ("request_id,prompt_tokens\na,-1\n", "Line 2"),
        ("request_id,prompt_tokens\na,1.5\n", "Line 2"),
        ("model,prompt_tokens\ngpt,1\n", "no request_id"),
        ("request_id,cost\na,NaN\n", "cost"),
        ("request_id,cost\na,-1\n", "cost"),
        ("request_id,cost\na,1e99\n", "cost"),
        ('{"id": "a"}\n{', "Line 2"),
        ('{"id": "a"}\n[]', "no object"),
        ('{"object":"page","data":5}', "no list"),
        ('{"object":"page","data":[{"results":[]}]}', "start_time"),
    ],
)
async def test_a_file_that_cannot_be_read_says_where(body: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        await compare(body)
