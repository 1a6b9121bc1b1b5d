"""Webhooks: signed, retried, isolated from each other, delivered whatever dies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from billing.notices.adapters.postgres.deliveries import PostgresDeliveries
from billing.notices.adapters.vault import SecretVault
from common.kit.ids import uuid7
from common.testing.server_process import free_port
from common.webhooks.attempts import MAX_ATTEMPTS, WAITS_S, Outcome

Billing = Any
Answer = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
SECRET_KEY = "a-secret-key-of-a-test"


async def ok(_request: web.Request, _number: int) -> web.StreamResponse:
    return web.Response(status=204)


def status(code: int, **headers: str) -> Answer:
    async def answer(_request: web.Request, _number: int) -> web.StreamResponse:
        return web.Response(
            status=code, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return answer


class Receiver:
    """A customer's server; `answer` may be changed at any time."""

    def __init__(self, answer: Answer = ok) -> None:
        self.answer = answer
        self.url = f"http://127.0.0.1:{free_port()}/hook"
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self._came = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._came:
            self.seen.append((headers, body))
            self._came.notify_all()
        return await self.answer(request, len(self.seen))

    async def has(self, count: int) -> None:
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(lambda: len(self.seen) >= count)

    def types(self) -> list[str]:
        return [msgspec.json.decode(body)["type"] for _, body in self.seen]


@asynccontextmanager
async def receiving(*receivers: Receiver) -> AsyncIterator[None]:
    runners = []
    for receiver in receivers:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", receiver.handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", int(receiver.url.rsplit(":", 1)[1].split("/")[0])).start()
    try:
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


async def start(billing: Billing, **settings: Any) -> None:
    values = {"secret_key": SECRET_KEY, "webhooks_allow_private": True, "webhook_interval_s": 0.02}
    await billing.start_replica(**(values | settings))


@pytest.fixture
async def hooked(billing: Billing) -> Billing:
    """Billing with a replica that delivers."""
    await start(billing)
    return billing


async def ask(
    billing: Billing, method: str, path: str, account: str, *scopes: str, **request: Any
) -> httpx.Response:
    response: httpx.Response = await billing.http.request(
        method, f"/api/billing/webhooks{path}", headers=billing.headers(account, *scopes), **request
    )
    return response


async def register(billing: Billing, account: str, url: str, **fields: Any) -> dict[str, Any]:
    scopes = ("admin",) if fields.get("all_accounts") else ()
    body = {"url": url, "events": ["billing.topup.*"]} | fields
    response = await ask(billing, "POST", "", account, *scopes, json=body)
    assert response.status_code == 201, response.text
    endpoint: dict[str, Any] = response.json()
    return endpoint


async def deliveries(billing: Billing, account: str, webhook: str) -> list[dict[str, Any]]:
    response = await ask(billing, "GET", f"/{webhook}/deliveries", account)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def until_settled(billing: Billing, account: str, webhook: str, **wanted: Any) -> dict[str, Any]:
    """The only delivery, once it is so."""
    found: list[dict[str, Any]] = []

    async def is_so() -> bool:
        found[:] = await deliveries(billing, account, webhook)
        return len(found) == 1 and wanted.items() <= found[0].items()

    await billing.until(is_so)
    return found[0]


async def until_waiting(billing: Billing, account: str, webhook: str, attempts: int) -> dict[str, Any]:
    """The only delivery, once so many attempts have failed and the next is waited for."""
    found: list[dict[str, Any]] = []

    async def waits() -> bool:
        found[:] = await deliveries(billing, account, webhook)
        return (
            len(found) == 1 and found[0]["attempts"] == attempts and found[0]["next_attempt_at"] is not None
        )

    await billing.until(waits)
    return found[0]


async def test_a_delivery_is_the_event_signed_as_standard_webhooks_asks(hooked: Billing) -> None:
    hooked.clock.advance((datetime.now(UTC) - hooked.clock.now()).total_seconds())
    account, receiver = uuid7(), Receiver()
    async with receiving(receiver):
        endpoint = await register(hooked, account, receiver.url)
        await hooked.topup(account, "5")
        await receiver.has(1)
    headers, body = receiver.seen[0]
    told = Webhook(endpoint["secret"]).verify(body, headers)
    replayed = await hooked.http.get(
        "/events", params={"stream": "billing", "after": 1}, headers=hooked.headers(account)
    )
    assert replayed.content == b"[" + body + b"]"
    assert (headers["webhook-id"], headers["content-type"]) == (told["id"], "application/cloudevents+json")
    assert (told["type"], told["data"]["amount"]) == ("billing.topup.completed.v1", "5")
    sent = await until_settled(hooked, account, endpoint["id"], status="succeeded")
    assert (sent["attempts"], sent["response_code"], sent["event"]) == (1, 204, told["id"])


async def test_an_endpoint_gets_its_accounts_events_that_match_and_no_others(hooked: Billing) -> None:
    mine, other = uuid7(), uuid7()
    some, everything, everybody, off = (Receiver() for _ in range(4))
    async with receiving(some, everything, everybody, off):
        await hooked.topup(mine, "1")  # before anybody listens
        await register(hooked, mine, some.url, events=["billing.nothing.*", "billing.topup.completed.v1"])
        await register(hooked, mine, everything.url, events=["*"])
        await register(hooked, uuid7(), everybody.url, all_accounts=True)
        await register(hooked, mine, off.url, enabled=False)
        await hooked.topup(other, "2")
        await hooked.topup(mine, "3")
        await everybody.has(2)
        await everything.has(2)
        await some.has(1)
    topup, transfer = "billing.topup.completed.v1", "billing.transfer.posted.v1"
    assert (some.types(), sorted(everything.types())) == ([topup], [topup, transfer])
    subjects = {msgspec.json.decode(body)["subject"] for _, body in everybody.seen}
    assert (subjects, everybody.types(), off.seen) == ({mine, other}, [topup, topup], [])


async def test_a_failed_delivery_is_tried_again_by_the_clock_and_then_given_up(hooked: Billing) -> None:
    account, receiver = uuid7(), Receiver(status(500))
    async with receiving(receiver):
        endpoint = await register(hooked, account, receiver.url)
        await hooked.topup(account, "1")
        for attempt, wait_s in enumerate(WAITS_S, 1):
            sent = await until_waiting(hooked, account, endpoint["id"], attempt)
            due = datetime.fromisoformat(sent["next_attempt_at"])
            left_s = (due - hooked.clock.now()).total_seconds()
            assert 0.9 * wait_s - 0.01 <= left_s <= 1.1 * wait_s
            hooked.clock.advance(left_s - 0.01)
            assert len(receiver.seen) == attempt
            hooked.clock.advance(0.02)
        sent = await until_settled(hooked, account, endpoint["id"], status="failed")
        assert (sent["attempts"], sent["error"]) == (MAX_ATTEMPTS, "answered 500")
        assert len(receiver.seen) == MAX_ATTEMPTS
        assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
        assert len({headers["webhook-timestamp"] for headers, _ in receiver.seen}) == MAX_ATTEMPTS
        receiver.answer = ok
        again = await ask(hooked, "POST", f"/{endpoint['id']}/deliveries/{sent['id']}/redeliver", account)
        assert again.status_code == 202
        await until_settled(hooked, account, endpoint["id"], status="succeeded", attempts=1)


async def test_finished_deliveries_are_forgotten_after_their_days_and_waiting_ones_never(
    hooked: Billing,
) -> None:
    account, works, fails = uuid7(), Receiver(), Receiver(status(500))
    async with receiving(works, fails):
        done, waiting = [await register(hooked, account, receiver.url) for receiver in (works, fails)]
        await hooked.topup(account, "1")
        await until_settled(hooked, account, done["id"], status="succeeded")
        await until_waiting(hooked, account, waiting["id"], 1)
    finished_at = hooked.clock.now()
    queue = PostgresDeliveries(hooked.database, SecretVault(SECRET_KEY))
    await queue.prune(finished_at)
    assert len(await deliveries(hooked, account, done["id"])) == 1
    await queue.prune(finished_at + timedelta(seconds=1))
    assert await deliveries(hooked, account, done["id"]) == []
    assert len(await deliveries(hooked, account, waiting["id"])) == 1


async def test_a_receiver_may_ask_for_more_time(hooked: Billing) -> None:
    account, receiver = uuid7(), Receiver(status(429, Retry_After="90"))
    async with receiving(receiver):
        endpoint = await register(hooked, account, receiver.url)
        await hooked.topup(account, "1")
        sent = await until_settled(hooked, account, endpoint["id"], response_code=429)
        due = datetime.fromisoformat(sent["next_attempt_at"])
        assert (due - hooked.clock.now()).total_seconds() == 90


async def test_a_dead_endpoint_delays_no_other(hooked: Billing) -> None:
    hanging = asyncio.Event()

    async def hang(_request: web.Request, _number: int) -> web.StreamResponse:
        await hanging.wait()
        return web.Response()

    account, dead, alive = uuid7(), Receiver(hang), Receiver()
    async with receiving(dead, alive):
        await register(hooked, account, dead.url)
        endpoint = await register(hooked, account, alive.url)
        await asyncio.gather(*(hooked.topup(account, "1") for _ in range(12)))
        await alive.has(12)
        assert len(dead.seen) == 4
        hanging.set()
        await dead.has(12)

        async def all_done() -> bool:
            found = await deliveries(hooked, account, endpoint["id"])
            return [sent["status"] for sent in found] == ["succeeded"] * 12

        await hooked.until(all_done)


async def test_redirects_are_not_followed_and_long_answers_not_read(hooked: Billing) -> None:
    target = Receiver()

    async def endless(request: web.Request, _number: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    account, moved, long = uuid7(), Receiver(status(307, Location=target.url)), Receiver(endless)
    async with receiving(target, moved, long):
        first = await register(hooked, account, moved.url)
        second = await register(hooked, account, long.url)
        await hooked.topup(account, "1")
        sent = await until_settled(hooked, account, first["id"], response_code=307)
        assert sent["error"] == "answered 307; redirects are not followed"
        await until_settled(hooked, account, second["id"], status="succeeded")
    assert target.seen == []


async def test_an_endpoint_that_is_gone_is_disabled_and_its_owner_told_once(hooked: Billing) -> None:
    account, receiver, watching = uuid7(), Receiver(status(410)), Receiver()
    async with receiving(receiver, watching):
        endpoint = await register(hooked, account, receiver.url)
        await register(hooked, account, watching.url, events=["billing.webhook.*"])
        await asyncio.gather(*(hooked.topup(account, "1") for _ in range(5)))
        await watching.has(1)
        data = msgspec.json.decode(watching.seen[0][1])["data"]
        assert (data["webhook"], data["url"], data["reason"]) == (endpoint["id"], receiver.url, "gone")

        async def is_off() -> bool:
            view = (await ask(hooked, "GET", f"/{endpoint['id']}", account)).json()
            return str(view["disabled_reason"]) == "gone"

        await hooked.until(is_off)
        view = (await ask(hooked, "GET", f"/{endpoint['id']}", account)).json()
        assert view["enabled"] is False
        receiver.answer = ok
        enabled = await ask(hooked, "PATCH", f"/{endpoint['id']}", account, json={"enabled": True})
        assert {
            "enabled": True,
            "disabled_reason": "",
            "failing_since": None,
        }.items() <= enabled.json().items()
        before = len(receiver.seen)
        await hooked.topup(account, "1")
        await receiver.has(before + 1)
    assert watching.types() == ["billing.webhook.disabled.v1"]


async def test_an_endpoint_that_fails_for_days_is_disabled(hooked: Billing) -> None:
    account, receiver = uuid7(), Receiver(status(503))
    async with receiving(receiver):
        endpoint = await register(hooked, account, receiver.url)
        await hooked.topup(account, "1")
        await until_waiting(hooked, account, endpoint["id"], 1)
        hooked.clock.advance(5 * 86_400 - 60)
        await until_waiting(hooked, account, endpoint["id"], 2)
        assert (await ask(hooked, "GET", f"/{endpoint['id']}", account)).json()["enabled"] is True
        hooked.clock.advance(90)

        async def is_off() -> bool:
            view = (await ask(hooked, "GET", f"/{endpoint['id']}", account)).json()
            return (view["enabled"], view["disabled_reason"]) == (False, "failing")

        await hooked.until(is_off)


async def test_two_replicas_share_the_work_and_send_nothing_twice(hooked: Billing) -> None:
    await start(hooked)
    account, receiver = uuid7(), Receiver()
    async with receiving(receiver):
        endpoint = await register(hooked, account, receiver.url)
        await asyncio.gather(*(hooked.topup(account, "1") for _ in range(40)))
        await receiver.has(40)

        async def all_done() -> bool:
            found = await deliveries(hooked, account, endpoint["id"])
            return [sent["status"] for sent in found] == ["succeeded"] * 40

        await hooked.until(all_done)
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == len(receiver.seen) == 40


async def test_what_a_killed_replica_had_in_hand_is_delivered_by_another(billing: Billing) -> None:
    account, receiver = uuid7(), Receiver()
    queue = PostgresDeliveries(billing.database, SecretVault(SECRET_KEY))
    await start(billing, webhook_interval_s=3600)  # its one look is over before there is anything
    async with receiving(receiver):
        endpoint = await register(billing, account, receiver.url)
        await billing.topup(account, "1")
        assert await queue.fan_out(billing.clock.now()) == 1
        claimed = await queue.claim(billing.clock.now(), 10)
        assert [due.attempts for due in claimed] == [1]
        assert await queue.claim(billing.clock.now(), 10) == []
        await start(billing)
        billing.clock.advance(59)
        billing.clock.advance(2)
        await receiver.has(1)
        await until_settled(billing, account, endpoint["id"], status="succeeded", attempts=2)
        late = await queue.settle(claimed[0], Outcome(None, "late"), billing.clock.now())
        assert late is None
        await until_settled(billing, account, endpoint["id"], status="succeeded", attempts=2)


async def test_secrets_are_shown_once_lie_encrypted_and_rotate(hooked: Billing) -> None:
    hooked.clock.advance((datetime.now(UTC) - hooked.clock.now()).total_seconds())
    account, receiver = uuid7(), Receiver()
    async with receiving(receiver):
        endpoint = await register(hooked, account, receiver.url)
        path = f"/{endpoint['id']}"
        sealed = (await hooked.rows("SELECT secrets FROM webhook_endpoints"))[0][0]
        assert endpoint["secret"].encode() not in sealed
        for shown in (await ask(hooked, "GET", "", account), await ask(hooked, "GET", path, account)):
            assert "whsec_" not in shown.text
        rotated = (await ask(hooked, "POST", f"{path}/rotate", account)).json()
        tried = await ask(hooked, "POST", f"{path}/test", account)
        assert tried.json() == {"succeeded": True, "response_code": 204, "error": ""}
        headers, body = receiver.seen[0]
        for secret in (endpoint["secret"], rotated["secret"]):
            assert Webhook(secret).verify(body, headers)["type"] == "billing.webhook.test.v1"
        await ask(hooked, "POST", f"{path}/rotate", account)
        await ask(hooked, "POST", f"{path}/test", account)
        assert len(receiver.seen[1][0]["webhook-signature"].split()) == 2
        hooked.clock.advance(86_401)
        await ask(hooked, "POST", f"{path}/test", account)
        assert len(receiver.seen[2][0]["webhook-signature"].split()) == 1


async def test_another_tenants_webhook_is_not_found(hooked: Billing) -> None:
    mine, other = uuid7(), uuid7()
    endpoint = await register(hooked, mine, "https://example.com/hook")
    path = f"/{endpoint['id']}"
    for method, tail, request in (
        ("GET", "", {}),
        ("PATCH", "", {"json": {"enabled": False}}),
        ("DELETE", "", {}),
        ("POST", "/rotate", {}),
        ("POST", "/test", {}),
        ("GET", "/deliveries", {}),
        ("POST", "/deliveries/1/redeliver", {}),
    ):
        refused = await ask(hooked, method, path + tail, other, **request)
        assert refused.status_code == 404, (method, tail)
    assert (await ask(hooked, "GET", "", other)).json() == {"data": [], "next": None}
    assert (await ask(hooked, "GET", "?account=all", other)).status_code == 403
    body = {"url": "https://example.com/", "all_accounts": True}
    assert (await ask(hooked, "POST", "", other, json=body)).status_code == 403
    listed = await ask(hooked, "GET", "?account=all", "admin", "admin")
    assert [view["id"] for view in listed.json()["data"]] == [endpoint["id"]]
    assert (await ask(hooked, "POST", f"{path}/deliveries/1/redeliver", mine)).status_code == 404
    assert (await ask(hooked, "DELETE", path, mine)).status_code == 204
    assert (await ask(hooked, "GET", path, mine)).status_code == 404


async def test_an_account_has_a_bounded_number_of_webhooks(hooked: Billing) -> None:
    account = uuid7()
    body = {"url": "https://example.com/hook"}
    answers = await asyncio.gather(*(ask(hooked, "POST", "", account, json=body) for _ in range(22)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 2


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"url": "http://example.com/hook"}, "url"),
    ({"url": "ftp://example.com/hook"}, "url"),
    ({"url": "https://user:password@example.com/"}, "url"),
    ({"url": "https:///hook"}, "url"),
    ({"url": "https://example.com/a b"}, "url"),
    ({"url": "https://example.com/#fragment"}, "url"),
    ({"url": "https://example.com:99999/"}, "url"),
    ({"url": "https://[::1"}, "url"),
    ({"url": "https://example.com/" + "x" * 2000}, "url"),
    ({"url": "https://example.com/", "events": []}, "events"),
    ({"url": "https://example.com/", "events": ["usage.recorded.v1"]}, "events"),
    ({"url": "https://example.com/", "events": ["billing.[a-z]*"]}, "events"),
    ({"url": "https://example.com/", "events": ["billing.*"] * 21}, "events"),
    ({"url": "https://example.com/", "description": "\0"}, "description"),
    ({"url": "https://example.com/", "secret": "mine"}, None),
    ({}, None),
]


async def test_a_webhook_that_cannot_be_is_refused(hooked: Billing) -> None:
    account = uuid7()
    for body, param in REFUSED:
        response = await ask(hooked, "POST", "", account, json=body)
        assert response.status_code == 400, (body, response.text)
        assert param is None or response.json()["param"] == param
    endpoint = await register(hooked, account, "https://example.com/hook")
    changed = await ask(hooked, "PATCH", f"/{endpoint['id']}", account, json={"url": "http://example.com"})
    assert changed.status_code == 400
    assert (await ask(hooked, "GET", "", account)).json()["data"][0]["url"] == "https://example.com/hook"


async def test_private_addresses_are_refused_where_they_are_not_allowed(billing: Billing) -> None:
    await start(billing, webhooks_allow_private=False)
    account, receiver = uuid7(), Receiver()
    port = receiver.url.rsplit(":", 1)[1].split("/")[0]
    async with receiving(receiver):
        refused = await ask(billing, "POST", "", account, json={"url": receiver.url})
        assert refused.status_code == 400
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1"):
            endpoint = await register(billing, account, f"https://{host}:{port}/hook")
            tried = (await ask(billing, "POST", f"/{endpoint['id']}/test", account)).json()
            assert (tried["succeeded"], tried["response_code"]) == (False, None), host
            assert tried["error"] in (
                "the address is not of the public internet",
                "the URL is not one that can be connected to",
            )
    assert receiver.seen == []


async def test_without_a_key_for_the_secrets_there_are_no_webhooks(billing: Billing) -> None:
    refused = await ask(billing, "POST", "", uuid7(), json={"url": "https://example.com/hook"})
    assert (refused.status_code, refused.json()["code"]) == (503, "webhooks_off")
    assert (await ask(billing, "GET", "", uuid7())).json()["data"] == []
