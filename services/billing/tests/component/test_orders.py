"""Top-up orders that another service makes over RPC: one payment per id, credited once by webhooks alone."""

import asyncio
from typing import Any

import pytest

from common.contracts.errors import ServiceError
from common.contracts.payments import PAYMENT_ORDER, PAYMENT_READ, PaymentOrder, PaymentRead, PaymentState
from common.kit.ids import uuid7

USD = 1_000_000_000


async def order(till: Any, account: str, **fields: Any) -> PaymentState:
    values: dict[str, Any] = {"id": uuid7(), "method": "stripe_checkout", "amount": "10"}
    values["return_url"] = "http://127.0.0.1:1/thanks"
    request = PaymentOrder(account=account, **(values | fields))
    state: PaymentState = await till.billing.rpc.call(PAYMENT_ORDER, request, 10)
    return state


async def read(till: Any, payment: str, account: str) -> PaymentState:
    state: PaymentState = await till.billing.rpc.call(PAYMENT_READ, PaymentRead(payment, account), 10)
    return state


async def test_an_order_is_credited_once_however_its_webhooks_come_and_not_by_the_redirect(
    paying: Any,
) -> None:
    till = paying
    await till.start()
    account, id_ = uuid7(), uuid7()
    states = await asyncio.gather(*(order(till, account, id=id_) for _ in range(20)))
    assert all(state == states[0] for state in states)
    made = states[0]
    assert (made.id, made.status, made.amount, made.credits) == (id_, "open", "10", "10")
    await till.control("config", webhooks="concurrent", copies=20, delay_s=0.2)
    page = await till.stripe.post(made.url, data={"action": "pay", "card": "4242424242424242"})
    assert page.headers["location"] == "http://127.0.0.1:1/thanks"
    await till.settled()
    after = await read(till, id_, account)
    assert (after.status, after.url) == ("succeeded", "")
    assert await till.billing.balance(account) == (10 * USD, 0)
    assert (await till.billing.audit())["ok"]


async def test_an_order_is_its_accounts_alone_and_its_id_means_one_body(paying: Any) -> None:
    till, account = paying, uuid7()
    made = await order(till, account)
    for call, code in (
        (read(till, made.id, uuid7()), "not_found"),
        (read(till, uuid7(), account), "not_found"),
        (order(till, account, id=made.id, amount="11"), "conflict"),
        (order(till, account, amount="0"), "invalid_request"),
        (order(till, "x"), "invalid_request"),
        (order(till, account, method="stripe_invoice"), "invalid_request"),
        (order(till, account, return_url="javascript:alert(1)"), "invalid_request"),
        (order(till, account, currency="EUR"), "currency_not_accepted"),
    ):
        with pytest.raises(ServiceError) as refused:
            await call
        assert refused.value.error_code == code
