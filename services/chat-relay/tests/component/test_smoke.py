from typing import Any


async def test_smoke(relay: Any) -> None:
    a = await relay.post(relay.chat())
    print(a.status_code, a.headers, a.text)
    r = await relay.billing.record()
    print(r)
    a = await relay.post(relay.chat(stream=True))
    print(a.status_code, a.headers, a.text)
    await relay.billing.until(lambda: len(relay.billing.records) == 2)
    print(relay.billing.records[1])
    a = await relay.post({"model": "text-embedding-3-small", "input": "hi"}, "/v1/embeddings")
    print(a.status_code, a.text[:200])
    a = await relay.http.get("/v1/models", headers=relay.headers())
    print(a.text)
    await relay.billing.until(lambda: len(relay.billing.closes) >= 1)
    print(relay.billing.requests, relay.billing.closes)
