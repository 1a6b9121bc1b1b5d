"""Top-up orders and the balance: seen by the app that made them, paid at Stripe and nowhere else."""

from typing import Any

import pytest

from common.contracts.errors import ConflictError, NotFoundError
from common.contracts.payments import PAYMENT_ORDER, PAYMENT_READ, PaymentOrder, PaymentRead, PaymentState
from common.contracts.wallets import WALLET_READ, WalletRead, WalletState
from common.kit.rpc import RpcServer
from common.kit.telemetry import Telemetry

ORDERS = "/oauth/v1/topup_orders"


class Cashier:
    """Billing's part, as its own tests prove it."""

    def __init__(self) -> None:
        self.orders: dict[str, PaymentOrder] = {}
        self.status = "open"

    async def order(self, request: PaymentOrder) -> PaymentState:
        if self.orders.setdefault(request.id, request) != request:
            raise ConflictError("This idempotency key was used before with another body.")
        return self.state(request)

    async def read(self, request: PaymentRead) -> PaymentState:
        order = self.orders.get(request.id)
        if order is None or order.account != request.account:
            raise NotFoundError("There is no such payment.")
        return self.state(order)

    async def wallet(self, _: WalletRead) -> WalletState:
        return WalletState(5_000_000_000, 0, 1_000_000_000, 0)

    def state(self, order: PaymentOrder) -> PaymentState:
        url = f"https://pay.example/{order.id}" if self.status == "open" else ""
        return PaymentState(order.id, self.status, url, order.amount, "USD", order.amount, "", "")


@pytest.fixture
async def cashier(oauth: Any) -> Cashier:
    cashier = Cashier()
    server = RpcServer(oauth.bus, "billing", Telemetry("test", "test-0", "", 0.0))
    server.add(PAYMENT_ORDER, cashier.order)
    server.add(PAYMENT_READ, cashier.read)
    server.add(WALLET_READ, cashier.wallet)
    await server.start()
    oauth.stack.push_async_callback(server.stop)
    return cashier


async def opened(oauth: Any, *scopes: str, person: Any = None) -> tuple[Any, dict[str, str]]:
    app, secret = await oauth.app()
    told = await oauth.tokens(app, secret, *scopes, **({} if person is None else {"person": person}))
    return app, {"authorization": f"Bearer {told['access_token']}"}


async def test_an_order_is_made_once_per_key_and_seen_by_its_app_for_its_person(
    oauth: Any, cashier: Cashier
) -> None:
    _, headers = await opened(oauth, "topup")
    body = {"method": "stripe_checkout", "amount": "25", "return_url": "https://cards.example/thanks"}
    keyed = headers | {"idempotency-key": "k"}
    made = await oauth.http.post(ORDERS, json=body, headers=keyed)
    assert made.status_code == 201, made.text
    order = made.json()
    assert (order["status"], order["amount"], order["credits"]) == ("open", "25", "25")
    assert order["url"].startswith("https://pay.example/")
    assert (await oauth.http.post(ORDERS, json=body, headers=keyed)).json() == order
    other = await oauth.http.post(ORDERS, json=body | {"amount": "26"}, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    cashier.status = "succeeded"
    seen = (await oauth.http.get(f"{ORDERS}/{order['id']}", headers=headers)).json()
    assert (seen["status"], seen["url"]) == ("succeeded", None)
    _, others = await opened(oauth, "topup")
    assert (await oauth.http.get(f"{ORDERS}/{order['id']}", headers=others)).status_code == 404
    assert len(cashier.orders) == 1


async def test_people_are_sent_back_only_where_the_app_is_registered(oauth: Any, cashier: Cashier) -> None:
    _, headers = await opened(oauth, "topup")
    for url in (
        "https://evil.example/",
        "https://cards.example.evil.example/",
        "https://cards.example:444/",
        "http://cards.example/",
        "https://cards.example@evil.example/",
        "javascript:alert(1)",
        "//cards.example/",
        "https://cards.example\\@evil.example/",
        "x" * 3000,
    ):
        body = {"method": "stripe_checkout", "amount": "1", "return_url": url}
        answer = await oauth.http.post(ORDERS, json=body, headers=headers)
        assert (answer.status_code, answer.json()["param"]) == (400, "return_url"), url
    assert cashier.orders == {}


async def test_balance_and_orders_need_their_own_scopes(oauth: Any, cashier: Cashier) -> None:
    assert cashier.orders == {}
    _, headers = await opened(oauth, "balance")
    told = (await oauth.http.get("/oauth/v1/balance", headers=headers)).json()
    assert told == {"balance": "5", "free": "1", "currency": "USD"}
    refused = await oauth.http.post(
        ORDERS, json={"method": "stripe_checkout", "amount": "1"}, headers=headers
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    _, headers = await opened(oauth, "topup")
    assert (await oauth.http.get("/oauth/v1/balance", headers=headers)).status_code == 403


@pytest.mark.parametrize("method", ["stripe_checkout", "stripe_invoice"])
async def test_orders_through_ohmygpts_dialect_are_the_same_orders(
    oauth: Any, cashier: Cashier, method: str
) -> None:
    _, headers = await opened(oauth, "topup")
    path = f"/api/v1/user/oauth/app/create-{method.replace('_', '-')}-order"
    # What the path says counts, whatever the body says of the method.
    body = {"amount": "25", "return_url": "https://cards.example/thanks", "method": "cash"}
    made = await oauth.http.post(path, json=body | {"idempotency_key": "k"}, headers=headers)
    assert (made.status_code, made.json()["message"]) == (200, "Create order success"), made.text
    order = made.json()["data"]
    assert (order["status"], order["amount"], order["method"]) == ("open", "25", method)
    assert order["url"].startswith("https://pay.example/")
    keyed = headers | {"idempotency-key": "k"}
    as_form = await oauth.http.post(path, data=body, headers=keyed)
    standard = await oauth.http.post(ORDERS, json=body | {"method": method}, headers=keyed)
    assert as_form.json()["data"] == standard.json() == order
    assert (await oauth.http.get(f"{ORDERS}/{order['id']}", headers=headers)).json() == order
    assert [(one.id, one.method, one.amount) for one in cashier.orders.values()] == [
        (order["id"], method, "25")
    ]
    other = await oauth.http.post(path, json=body | {"amount": "26"}, headers=keyed)
    told = other.json()
    assert (other.status_code, told["statusCode"], told["errorType"], told["data"]) == (
        422, 422, "idempotency_mismatch_error", None,
    )  # fmt: skip


async def test_ohmygpts_dialect_refuses_the_same_orders_in_its_envelope(oauth: Any, cashier: Cashier) -> None:
    _, headers = await opened(oauth, "topup")
    _, narrow = await opened(oauth, "balance")
    path = "/api/v1/user/oauth/app/create-stripe-checkout-order"
    for body, token, status, kind in (
        ({"amount": "-1"}, headers, 400, "invalid_request_error"),
        ({"amount": "0"}, headers, 400, "invalid_request_error"),
        ({"amount": "1.0000000001"}, headers, 400, "invalid_request_error"),
        ({"amount": "1000001"}, headers, 400, "invalid_request_error"),
        ({}, headers, 400, "invalid_request_error"),
        ({"amount": ["1"]}, headers, 400, "invalid_request_error"),
        ({"amount": "1", "return_url": "https://evil.example/"}, headers, 400, "invalid_request_error"),
        ({"amount": "1", "idempotency_key": "k" * 256}, headers, 400, "invalid_request_error"),
        ({"amount": "1"}, narrow, 403, "insufficient_scope_error"),
        ({"amount": "1"}, {}, 401, "oauth_invalid_token_error"),
    ):
        answer = await oauth.http.post(path, json=body, headers=token)
        told = answer.json()
        assert (answer.status_code, told["statusCode"], told["errorType"]) == (status, status, kind), body
        assert told["data"] is None
    assert cashier.orders == {}
