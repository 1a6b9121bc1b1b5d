"""Money in memory, and the lease behind it."""

import asyncio
import json
from typing import Any

import pytest

from common.contracts.errors import UnavailableError
from common.contracts.principals import Budget, Limits

PICO = {"input": 150_000, "output": 600_000}
HOLD_NANO = 100 * 600
"""What 100 output tokens cost; input is free in the prices of these tests."""


async def free_input(relay: Any, model: str = "gpt-4o-mini", **fields: Any) -> None:
    await relay.put_prices(model, unit_pico={"output": 600_000}, **fields)


async def test_a_balance_that_covers_ten_holds_serves_ten_of_a_hundred_at_once(
    relay: Any, upstream: Any
) -> None:
    upstream.json(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    upstream.release.clear()
    await relay.add_channel("scripted", base_url=upstream.url, priority=1)
    await free_input(relay)
    relay.billing.wallets[relay.account] = 10 * HOLD_NANO + HOLD_NANO // 2
    calls = [asyncio.create_task(relay.post(relay.chat(max_tokens=100))) for _ in range(100)]
    refused = []
    for done in asyncio.as_completed(calls):
        refused.append(await done)
        if len(refused) == 90:
            break
    assert {answer.status_code for answer in refused} == {402}
    assert upstream.requests == 10
    upstream.release.set()
    answers = await asyncio.gather(*calls)
    assert sum(answer.status_code == 200 for answer in answers) == 10
    error = refused[0].json()["error"]
    assert error["code"] == error["type"] == "insufficient_quota"
    assert "$0.00006" in error["message"]
    assert "/api/billing/topups" in error["message"]
    assert len(relay.billing.requests) < 20


async def test_requests_that_follow_each_other_share_one_lease(relay: Any) -> None:
    for _ in range(20):
        assert (await relay.post(relay.chat(max_tokens=50))).status_code == 200
    await relay.billing.until(lambda: len(relay.billing.records) == 20)
    assert len({record.lease for record in relay.billing.records}) == 1
    assert len(relay.billing.requests) <= 5


async def test_an_idle_lease_returns_exactly_what_was_not_spent(relay: Any) -> None:
    for _ in range(3):
        await relay.post(relay.chat())
    await relay.billing.until(lambda: bool(relay.billing.closes))
    (close,) = relay.billing.closes
    spent = sum(record.cost_nano for record in relay.billing.records)
    assert close.unspent_nano == relay.billing.granted[close.lease] - spent
    assert relay.billing.wallets[relay.account] == relay.billing.default_nano - spent


async def test_a_low_grant_goes_back_as_soon_as_nothing_is_reserved(start_relay: Any) -> None:
    relay = await start_relay(lease_idle_s=60)
    await relay.add_channel()
    await free_input(relay)
    relay.billing.wallets[relay.account] = 3 * HOLD_NANO
    await relay.post(relay.chat(max_tokens=100))
    await relay.billing.until(lambda: bool(relay.billing.closes))
    assert relay.billing.wallets[relay.account] == 3 * HOLD_NANO - relay.billing.records[0].cost_nano


async def test_a_recall_returns_an_idle_lease_at_once(start_relay: Any) -> None:
    relay = await start_relay(lease_idle_s=60)
    await relay.add_channel()
    await relay.post(relay.chat())
    await relay.billing.record()
    await asyncio.sleep(0.05)  # reason: the relay hears of the record's storage when this test does
    await relay.recall(relay.account)
    await relay.billing.until(lambda: bool(relay.billing.closes), 3)


async def test_a_stream_starts_on_the_last_cents_and_ends_when_they_are_gone(relay: Any) -> None:
    model = "sim-tokens-900+slow-chunks-1ms"
    await relay.serve_model(model)
    await free_input(relay, model)
    relay.billing.wallets[relay.account] = 2 * HOLD_NANO
    answer = await relay.post(relay.chat(model, stream=True, max_tokens=900))
    assert answer.status_code == 200
    error = json.loads(answer.text.split("\n\n")[-2][6:])["error"]
    assert error["code"] == "insufficient_quota"
    assert "[DONE]" not in answer.text
    record = await relay.billing.record()
    assert (record.outcome, record.partial, record.estimated) == ("quota_exhausted", True, True)
    assert record.reserved_nano == 2 * HOLD_NANO
    assert 150 <= record.quantities["output"] <= 300


async def test_a_balance_under_the_minimum_starts_no_stream(relay: Any) -> None:
    await free_input(relay)
    relay.billing.wallets[relay.account] = 63 * 600
    answer = await relay.post(relay.chat(stream=True, max_tokens=900))
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "insufficient_quota")
    assert not relay.billing.records


async def test_a_stream_longer_than_its_hold_extends_it_and_runs_to_its_end(relay: Any) -> None:
    model = "sim-tokens-6000+chunks-1200"
    await relay.serve_model(model)
    await free_input(relay, model)
    answer = await relay.post(relay.chat(model, stream=True))
    assert answer.text.endswith("data: [DONE]\n\n")
    record = await relay.billing.record()
    assert (record.outcome, record.quantities["output"]) == ("ok", 6000)
    assert record.reserved_nano > 4096 * 600


async def test_a_stream_within_its_own_limit_is_never_cut_whatever_the_estimate_says(relay: Any) -> None:
    model = "sim-tokens-300+unicode"
    await relay.serve_model(model)
    await free_input(relay, model)
    relay.billing.wallets[relay.account] = 400 * 600
    answer = await relay.post(relay.chat(model, stream=True, max_tokens=400))
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_lost_reply_is_asked_for_again_with_the_same_sequence(relay: Any) -> None:
    relay.billing.swallow = 1
    answer = await relay.post(relay.chat())
    assert answer.status_code == 200
    first, second = relay.billing.requests[:2]
    assert first == second
    await relay.billing.until(lambda: bool(relay.billing.closes))
    assert relay.billing.wallets[relay.account] + relay.billing.records[0].cost_nano == 10_000_000_000


async def test_while_billing_is_away_a_lease_lasts_and_no_new_one_is_opened(start_relay: Any) -> None:
    relay = await start_relay(lease_idle_s=60)
    await relay.add_channel()
    await relay.post(relay.chat())
    relay.billing.refuse = UnavailableError("away")
    assert (await relay.post(relay.chat())).status_code == 200
    stranger = relay.headers(account=relay.spender, spender=relay.account)
    answer = await relay.http.post("/v1/chat/completions", json=relay.chat(), headers=stranger)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    relay.billing.refuse = None
    answer = await relay.http.post("/v1/chat/completions", json=relay.chat(), headers=stranger)
    assert answer.status_code == 200


async def test_nothing_is_reserved_past_a_leases_deadline(start_relay: Any) -> None:
    relay = await start_relay(lease_idle_s=60)
    relay.billing.ttl_s = 0.4
    await relay.add_channel()
    await relay.post(relay.chat())
    relay.billing.refuse = UnavailableError("away")
    await asyncio.sleep(0.5)  # reason: the time to live is on the real clock
    assert (await relay.post(relay.chat())).status_code == 503


@pytest.mark.parametrize("budget_nano", [123])
async def test_the_spenders_budget_goes_with_the_request(relay: Any, budget_nano: int) -> None:
    headers = relay.headers(limits=Limits(budget=Budget(budget_nano, "day")))
    await relay.http.post("/v1/chat/completions", json=relay.chat(), headers=headers)
    assert relay.billing.requests[0].budget == Budget(budget_nano, "day")


async def test_a_request_that_may_cost_more_than_may_be_spent_at_once_is_refused(relay: Any) -> None:
    await free_input(relay)
    limits = Limits(budget=Budget(10**9, max_charge_nano=HOLD_NANO))
    headers = relay.headers(limits=limits)
    for dialect, body in (
        ("/v1/chat/completions", relay.chat(max_tokens=101)),
        ("/v1/chat/completions", relay.chat(max_tokens=101, stream=True)),
    ):
        refused = await relay.http.post(dialect, json=body, headers=headers)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (403, "max_charge_exceeded")
        assert "at most $0.00006 at once" in error["message"]
    assert not relay.billing.requests
    allowed = await relay.http.post("/v1/chat/completions", json=relay.chat(max_tokens=100), headers=headers)
    assert allowed.status_code == 200


async def test_a_free_model_needs_no_money_and_leaves_a_record(relay: Any) -> None:
    await relay.put_prices("gpt-4o-mini", unit_pico={"input": 0, "output": 0})
    relay.billing.wallets[relay.account] = 0
    assert (await relay.post(relay.chat())).status_code == 200
    record = await relay.billing.record()
    assert (record.cost_nano, record.lease) == (0, "")
    assert not relay.billing.requests
