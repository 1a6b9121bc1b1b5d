"""Webhooks of apps: signed, in the app's own words, tried again under the same id, resent, disabled."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from common.kit.db import Database
from common.testing.server_process import free_port
from common.webhooks.attempts import WAITS_S
from oauth.adapters.vault import Vault
from oauth.charges.adapters.postgres.deliveries import PostgresDeliveries
from oauth.charges.adapters.postgres.webhooks import SecretBox


class Receiver:
    """An app's endpoint; answers the statuses it is told, 204 when it was told none."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.statuses: list[int] = []
        self.got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.Response:
        await self.got.put((dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(15):
            return await self.got.get()


@pytest.fixture
async def receiver(bare_oauth: Any) -> Receiver:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", receiver.port).start()
    bare_oauth.stack.push_async_callback(runner.cleanup)
    return receiver


class Hook:
    """The management routes of an app's webhook, as the operator."""

    def __init__(self, oauth: Any, app: Any) -> None:
        self.http = oauth.http
        self.path = f"/api/oauth/apps/{app.client_id}/webhook"
        self.headers = oauth.owner(None, None, "admin")

    async def ask(self, method: str, path: str = "", **options: Any) -> Any:
        return await self.http.request(method, self.path + path, headers=self.headers, **options)

    async def disabled(self, reason: str) -> None:
        """It gets there by itself."""
        async with asyncio.timeout(15):
            while True:
                told = (await self.ask("GET")).json()
                if not told["enabled"]:
                    assert told["disabled_reason"] == reason
                    return
                await asyncio.sleep(0.05)  # reason: the interval of a poll

    async def delivery(self, status: str) -> dict[str, Any]:
        """The newest, once it is so."""
        async with asyncio.timeout(15):
            while True:
                page = (await self.ask("GET", "/deliveries")).json()["data"]
                if page and page[0]["status"] == status:
                    newest: dict[str, Any] = page[0]
                    return newest
                await asyncio.sleep(0.05)  # reason: the interval of a poll


def checked(secret: str, headers: dict[str, str], body: bytes, clock: Any) -> dict[str, Any]:
    """The body, signed as the standard's own library signs it, at the time of the test's clock."""
    known = {name.lower(): value for name, value in headers.items()}
    at = datetime.fromtimestamp(int(known["webhook-timestamp"]), UTC)
    assert int(at.timestamp()) == int(clock.time())
    expected = Webhook(secret).sign(known["webhook-id"], at, body.decode())
    assert expected in known["webhook-signature"].split(" ")
    told: dict[str, Any] = msgspec.json.decode(body)
    assert told["id"] == known["webhook-id"]
    return told


async def test_an_app_is_told_of_charges_and_refunds_in_its_own_words(shop: Any, receiver: Receiver) -> None:
    oauth = shop.oauth
    hook = Hook(oauth, shop.app)
    assert (await hook.ask("GET")).status_code == 404
    made = (await hook.ask("PUT", json={"url": receiver.url})).json()
    secret = made["secret"]
    assert secret.startswith("whsec_")
    assert (await hook.ask("PUT", json={"url": receiver.url})).json()["secret"] is None
    assert secret not in str(await oauth.rows("SELECT secrets FROM app_webhooks"))
    charge = await shop.charge("1", reference="order-77")
    told = checked(secret, *await receiver.next(), oauth.clock)
    assert (told["type"], told["data"]) == ("charge.succeeded", charge)
    assert shop.person.user not in str(told)
    await shop.act(f"{charge['id']}/refunds", {"amount": "0.4"}, "r")
    told = checked(secret, *await receiver.next(), oauth.clock)
    assert (told["type"], told["refund"]["amount"]) == ("charge.refunded", "0.4")
    assert told["data"]["amount_refunded"] == "0.4"
    delivered = await hook.delivery("succeeded")
    assert (delivered["type"], delivered["attempts"], delivered["response_code"]) == (
        "charge.refunded",
        1,
        204,
    )
    again = await hook.ask("POST", f"/deliveries/{delivered['id']}/redeliver")
    assert again.status_code == 202
    assert checked(secret, *await receiver.next(), oauth.clock)["id"] == told["id"]


async def test_what_fails_is_tried_again_under_the_same_id(shop: Any, receiver: Receiver) -> None:
    hook = Hook(shop.oauth, shop.app)
    secret = (await hook.ask("PUT", json={"url": receiver.url})).json()["secret"]
    receiver.statuses = [500]
    await shop.charge("1")
    first = checked(secret, *await receiver.next(), shop.oauth.clock)
    waiting = await hook.delivery("pending")
    assert waiting["error"] == "answered 500"
    assert (await hook.ask("GET")).json()["failing_since"] is not None
    shop.oauth.clock.advance(WAITS_S[0] * 2)
    assert checked(secret, *await receiver.next(), shop.oauth.clock) == first
    assert (await hook.delivery("succeeded"))["attempts"] == 2
    assert (await hook.ask("GET")).json()["failing_since"] is None


async def test_finished_deliveries_are_forgotten_after_their_days_and_waiting_ones_never(
    shop: Any, receiver: Receiver
) -> None:
    hook = Hook(shop.oauth, shop.app)
    await hook.ask("PUT", json={"url": receiver.url})
    await shop.charge("1")
    done = await hook.delivery("succeeded")
    receiver.statuses = [500]
    await shop.charge("1")
    waiting = await hook.delivery("pending")
    database = Database(shop.oauth.dsn, 1)
    queue = PostgresDeliveries(database, SecretBox(Vault("secret-key-for-the-tests", "webhook secrets")))
    left = []
    for later in (timedelta(), timedelta(seconds=1)):
        await queue.prune(shop.oauth.clock.now() + later)
        left.append([one["id"] for one in (await hook.ask("GET", "/deliveries")).json()["data"]])
    await database.close()
    assert left == [[waiting["id"], done["id"]], [waiting["id"]]]


async def test_an_endpoint_that_is_gone_is_disabled_and_rests_until_it_is_enabled(
    shop: Any, receiver: Receiver
) -> None:
    hook = Hook(shop.oauth, shop.app)
    await hook.ask("PUT", json={"url": receiver.url})
    receiver.statuses = [410]
    await shop.charge("1")
    await receiver.next()
    await hook.disabled("gone")
    await shop.charge("1")
    assert len((await hook.ask("GET", "/deliveries")).json()["data"]) == 1
    assert (await hook.ask("PUT", json={"url": receiver.url})).json()["disabled_reason"] == ""


async def test_secrets_rotate_and_a_test_tells_what_came_of_it(oauth: Any, receiver: Receiver) -> None:
    app, _ = await oauth.app()
    hook = Hook(oauth, app)
    old = (await hook.ask("PUT", json={"url": receiver.url})).json()["secret"]
    new = (await hook.ask("POST", "/rotate")).json()["secret"]
    assert new != old
    assert (await hook.ask("POST", "/test")).json() == {"succeeded": True, "response_code": 204, "error": ""}
    headers, body = await receiver.next()
    for secret in (old, new):
        assert checked(secret, headers, body, oauth.clock)["type"] == "webhook.test"
    assert (await hook.ask("DELETE")).status_code == 204
    assert (await hook.ask("GET")).status_code == 404


async def test_a_webhook_goes_to_no_address_of_ours(bare_oauth: Any) -> None:
    await bare_oauth.start_replica(allow_private=False)
    app, _ = await bare_oauth.app()
    hook = Hook(bare_oauth, app)
    for url in (
        "http://example.com/",
        "http://127.0.0.1/",
        "https://user:word@example.com/",
        "ftp://example.com/",
        "https://example.com/#x",
        "x",
    ):
        refused = await hook.ask("PUT", json={"url": url})
        assert (refused.status_code, refused.json()["param"]) == (400, "url"), url
    assert (await hook.ask("PUT", json={"url": "https://127.0.0.1:1/"})).status_code == 200
    tried = (await hook.ask("POST", "/test")).json()
    assert (tried["succeeded"], tried["error"]) == (False, "the address is not of the public internet")
