"""Replay: what was published is told again, the same, in order and without a gap."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from billing.notices.adapters.postgres.events import PostgresEvents
from common.contracts.usage import PriceTerms
from common.kit.ids import uuid7

Billing = Any
STREAMS = ("usage", "billing")


class Told(msgspec.Struct):
    """An envelope, `data` untouched."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    sequence: str
    datacontenttype: str
    data: msgspec.Raw


async def replay(billing: Billing, caller: str, stream: str, *scopes: str, **query: Any) -> httpx.Response:
    response: httpx.Response = await billing.http.get(
        "/events", params={"stream": stream, **query}, headers=billing.headers(caller, *scopes)
    )
    return response


def told(response: httpx.Response) -> list[Told]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/cloudevents-batch+json"
    return msgspec.json.decode(response.content, type=list[Told])


def sequences(response: httpx.Response) -> list[int]:
    return [int(event.sequence) for event in told(response)]


async def published(billing: Billing, stream: str, count: int) -> list[tuple[dict[str, str], bytes]]:
    """Headers and bodies as JetStream has them."""
    subscription = await billing.bus.jetstream.subscribe(f"{stream}.>", ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=20) for _ in range(count)]
    await subscription.unsubscribe()
    return [(message.headers or {}, message.data) for message in messages]


def is_same(event: Told, headers: dict[str, str], body: bytes) -> bool:
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    envelope = msgspec.structs.asdict(event)
    data, content_type = envelope.pop("data"), envelope.pop("datacontenttype")
    return bytes(data) == body and content_type == headers["Content-Type"] and envelope == attributes


async def churn(billing: Billing, account: str, times: int) -> None:
    """So many lease grants, each an event; and so many charges."""
    spender = uuid7()
    await asyncio.gather(
        *(
            billing.request(account=account, lease=uuid7(), spender=spender, wants_nano=1000)
            for _ in range(times)
        )
    )
    await billing.publish(*(billing.record(account, spender) for _ in range(times)))


async def test_events_are_told_again_byte_for_byte(billing: Billing) -> None:
    account = await billing.funded("1.00")
    lease, spender = uuid7(), uuid7()
    await billing.request(account=account, lease=lease, spender=spender, wants_nano=10**6)
    terms = PriceTerms("gpt-4o", 0, 500_000, {"z night": 1_500_000, "a, \"day'": 2_000_000})
    rich = billing.record(
        account,
        spender,
        lease,
        model='mödel \u2028 \U0001f600 "quoted" \\ \x01',
        quantities={"output": 100, "audio_output": 3, "input": 1000, "z": 0},
        unit_pico={"output": 600_000, "input": 150_000, "audio_output": 1},
        rate_micro=1_500_000,
        cost_nano=315_000,
        terms=terms,
        app="app-1",
        first_byte_ms=None,
        started_at_ms=1_768_478_400_007,
        partial=True,
    )
    beyond = billing.record(account, spender, quantities={"input": 10**9}, unit_pico={"input": 150_000})
    beyond = msgspec.structs.replace(beyond, cost_nano=150_000_000_000)
    await billing.publish(rich, billing.record(account, spender, lease), beyond)
    await billing.until_charged(3)
    await billing.close(lease, 1, 1)
    for stream in STREAMS:
        events = told(await replay(billing, account, stream))
        sent = await published(billing, stream, len(events))
        pairs = zip(events, sent, strict=True)
        assert [is_same(event, *message) for event, message in pairs] == [True] * len(events), stream
        assert [int(event.sequence) for event in events] == list(range(1, len(events) + 1))
    assert len(sent) == 4


async def test_pages_are_gap_free_whatever_their_size(billing: Billing) -> None:
    account = await billing.funded()
    await churn(billing, account, 20)
    await billing.until_charged(20)
    for stream, last in (("usage", 20), ("billing", 22)):
        for limit in (1, 7, 500):
            seen: list[int] = []
            while page := sequences(await replay(billing, account, stream, after=len(seen), limit=limit)):
                assert len(page) <= limit
                seen += page
            assert seen == list(range(1, last + 1))
        end = await replay(billing, account, stream, after=last)
        assert (told(end), end.headers["tollway-next"]) == ([], str(last))
        beyond = await replay(billing, account, stream, after=10**9)
        assert told(beyond) == []


async def test_what_is_not_kept_any_more_is_said_and_never_skipped(billing: Billing) -> None:
    account = await billing.funded()
    for _ in range(3):
        await billing.topup(account, "1")
    await billing.change(
        "DELETE FROM billing_events WHERE sequence <= 2", "DELETE FROM billing_events WHERE sequence = 5"
    )
    gone = await replay(billing, account, "billing")
    assert (gone.status_code, gone.json()["code"]) == (410, "events_expired")
    assert gone.json()["detail"].endswith("go on with after=2.")
    assert sequences(await replay(billing, account, "billing", after=2)) == [3, 4]
    hole = await replay(billing, account, "billing", after=4)
    assert hole.status_code == 410
    await billing.change("DELETE FROM billing_events")
    all_gone = await replay(billing, account, "billing", after=2)
    assert all_gone.json()["detail"] == "Events 3 to 8 are not kept any more; go on with after=8."


async def test_months_of_the_log_are_dropped_after_retention(billing: Billing) -> None:
    account = await billing.funded()
    await billing.change(
        "CREATE TABLE billing_events_2024_01 PARTITION OF billing_events"
        " FOR VALUES FROM ('2024-01-01+00') TO ('2024-02-01+00')",
        "INSERT INTO billing_events (account, sequence, last, created_at, events)"
        " SELECT account, 0, 0, '2024-01-31T23:59Z', '[]' FROM customers",
    )
    log = PostgresEvents(billing.database)
    tables = "SELECT count(*) FROM pg_class WHERE relname = 'billing_events_2024_01'"
    await log.prune(datetime(2024, 1, 31, 23, tzinfo=UTC))
    assert (await billing.rows(tables))[0][0] == 1
    await log.prune(datetime(2024, 2, 1, tzinfo=UTC))
    assert (await billing.rows(tables))[0][0] == 0
    assert sequences(await replay(billing, account, "billing")) == [1, 2]


async def test_another_tenants_events_stay_theirs(billing: Billing) -> None:
    mine, other = await billing.funded(), await billing.funded()
    own = told(await replay(billing, mine, "billing"))
    assert {event.subject for event in own} == {mine}
    for account in (other, "all"):
        refused = await replay(billing, mine, "billing", account=account)
        heads = await billing.http.get(
            "/events/heads", params={"account": account}, headers=billing.headers(mine)
        )
        assert (refused.status_code, heads.status_code) == (403, 403)
    named = await replay(billing, mine, "billing", "admin", account=other)
    assert {event.subject for event in told(named)} == {other}
    assert told(await replay(billing, uuid7(), "billing")) == []


async def test_heads_say_who_moved_and_how_far(billing: Billing) -> None:
    accounts = sorted([await billing.funded() for _ in range(3)])
    await billing.publish(billing.record(accounts[1], uuid7()))
    await billing.until_charged(1)
    own = await billing.http.get("/events/heads", headers=billing.headers(accounts[1]))
    head = {"account": accounts[1], "usage": 1, "billing": 2}
    assert own.json() == {"data": [head], "next": None}
    admin = billing.headers("admin", "admin")
    seen, query = [], {"account": "all", "limit": "2"}
    while True:
        page = (await billing.http.get("/events/heads", params=query, headers=admin)).json()
        seen += [head["account"] for head in page["data"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert seen == accounts


async def test_everybodys_events_come_in_one_order_that_later_commits_do_not_change(billing: Billing) -> None:
    await billing.start_replica()
    accounts = [await billing.funded() for _ in range(3)]

    async def follow(stream: str, count: int) -> list[Told]:
        seen: list[Told] = []
        after = "0"
        async with asyncio.timeout(60):
            while len(seen) < count:
                page = await replay(billing, "admin", stream, "admin", account="all", after=after, limit=5)
                seen += told(page)
                after = page.headers["tollway-next"]
        return seen

    following = [asyncio.create_task(follow(*goal)) for goal in (("billing", 51), ("usage", 45))]
    await asyncio.gather(*(churn(billing, account, 15) for account in accounts))
    for seen in await asyncio.gather(*following):
        for account in accounts:
            own = [int(event.sequence) for event in seen if event.subject == account]
            assert own == list(range(1, len(own) + 1))
        assert len({event.id for event in seen}) == len(seen)
    total = await follow("billing", 51)
    assert [event.id for event in total] == [event.id for event in following[0].result()]


async def test_a_transaction_that_commits_late_is_not_overtaken(billing: Billing) -> None:
    early, late = uuid7(), await billing.funded()
    async with billing.database.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        writing = driver.transaction()
        await writing.start()
        await driver.execute("SELECT pg_current_xact_id()")
        body = b'[{"id":"x","type":"billing.t.v1","sequence":1,"account":"a"}]'
        await driver.execute(
            "INSERT INTO billing_events (account, sequence, last, created_at, events)"
            " VALUES ($1, 1, 1, now(), $2)",
            early,
            body,
        )
        await billing.topup(late, "1")
        first = await replay(billing, "admin", "billing", "admin", account="all")
        assert {event.subject for event in told(first)} <= {late}
        assert len(told(first)) < 4
        await writing.commit()
    after = first.headers["tollway-next"]
    rest = told(await replay(billing, "admin", "billing", "admin", account="all", after=after))
    assert [event.subject for event in told(first) + rest] == [late, late, early, late, late]


REFUSED: tuple[dict[str, str], ...] = (
    {},
    {"stream": "tasks"},
    {"stream": "usage", "after": "-1"},
    {"stream": "usage", "after": "x"},
    {"stream": "usage", "after": str(2**63)},
    {"stream": "usage", "limit": "0"},
    {"stream": "usage", "limit": "501"},
    {"stream": "usage", "account": "nobody"},
    {"stream": "usage", "account": "\0"},
)


async def test_a_question_that_is_none_is_refused(billing: Billing) -> None:
    for query in REFUSED:
        response = await billing.http.get("/events", params=query, headers=billing.headers("admin", "admin"))
        assert response.status_code == 400, (query, response.text)
        assert response.headers["content-type"] == "application/problem+json"


async def test_without_the_gateways_signature_nothing_is_told(billing: Billing) -> None:
    response = await billing.http.get("/events", params={"stream": "usage"})
    assert response.status_code == 401
