"""Usage records survive a broker that is away."""

import asyncio
from typing import Any

import httpx

from common.testing.nats import EmbeddedNats


async def test_usage_waits_for_the_broker_and_nothing_is_lost_or_stored_twice(
    start_relay: Any, nats_server: EmbeddedNats
) -> None:
    relay = await start_relay(url=nats_server.url("tollway"), lease_idle_s=60, usage_buffer=3)
    await relay.add_channel()
    assert (await relay.post(relay.chat())).status_code == 200
    await relay.billing.record()
    await asyncio.to_thread(nats_server.kill)
    served = [(await relay.post(relay.chat())).status_code for _ in range(5)]
    assert served == [200, 200, 200, 503, 503]
    await asyncio.to_thread(nats_server.start)
    await relay.billing.until(lambda: len(relay.billing.records) >= 4, 20)
    await relay.eventually(lambda: relay.parts.usage.unstored == 0)
    assert len({record.id for record in relay.billing.records}) == 4
    assert (await relay.post(relay.chat())).status_code == 200


async def test_readiness_waits_for_the_price_book(start_relay: Any) -> None:
    relay = await start_relay(prices=False)
    ready = f"http://127.0.0.1:{relay.settings.ops_port}/readyz"
    async with httpx.AsyncClient() as http:
        answer = await http.get(ready)
        assert (answer.status_code, answer.json()["checks"]["prices"]) == (503, "UnavailableError")
        await relay.put_prices()
        answer = await http.get(ready)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_a_relay_that_stops_finishes_its_streams_stores_its_usage_and_returns_its_leases(
    start_relay: Any,
) -> None:
    relay = await start_relay(lease_idle_s=60)
    model = "sim-tokens-40+slow-chunks-10ms"
    await relay.serve_model(model)
    stream = asyncio.create_task(relay.post(relay.chat(model, stream=True)))
    await relay.eventually(lambda: relay.parts.leases.open == 1)
    await asyncio.sleep(0.1)  # reason: the stream is in its middle
    await relay.stop_service()
    assert (await stream).text.endswith("data: [DONE]\n\n")
    record = await relay.billing.record()
    assert (record.outcome, record.quantities["output"]) == ("ok", 40)
    (close,) = relay.billing.closes
    assert close.unspent_nano == relay.billing.granted[close.lease] - record.cost_nano
