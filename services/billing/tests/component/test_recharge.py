"""What a USD of balance costs: data, frozen on each payment."""

from pathlib import Path
from typing import Any

from common.kit.ids import uuid7

USD = 1_000_000_000


async def _put(till: Any, currency: str, price: str) -> Any:
    body = {"currency": currency, "price": price}
    admin = till.billing.headers("admin", "admin")
    return await till.billing.http.put("/api/billing/recharge", json=body, headers=admin)


async def test_a_ratio_is_frozen_when_the_payment_is_made(till: Any) -> None:
    account = uuid7()
    assert (await _put(till, "cny", "2.5")).json() == {"currency": "CNY", "price": "2.5", "source": "api"}
    payment = await till.ordered(account, amount="25", currency="CNY")
    assert (payment["credits"], payment["price"], payment["currency"]) == ("10", "2.5", "CNY")
    await _put(till, "CNY", "5")
    await till.control(f"pay/{payment['object']}")
    await till.settled()
    assert await till.billing.balance(account) == (10 * USD, 0)
    dearer = await till.ordered(account, amount="25", currency="CNY")
    assert dearer["credits"] == "5"


async def test_a_currency_without_decimals_is_charged_in_whole_units(till: Any) -> None:
    account = uuid7()
    await _put(till, "JPY", "150")
    payment = await till.paid(account, amount="1500", currency="JPY")
    session = await till.ask(f"checkout/sessions/{payment['object']}")
    assert (session["amount_total"], session["currency"]) == (1500, "jpy")
    assert await till.billing.balance(account) == (10 * USD, 0)
    answer = await till.order(account, amount="1500.5", currency="JPY")
    assert (answer.status_code, answer.json()["param"]) == (400, "amount")


async def test_a_currency_without_a_ratio_is_a_typed_error(till: Any) -> None:
    account = uuid7()
    answer = await till.order(account, currency="EUR")
    assert (answer.status_code, answer.json()["code"]) == (400, "currency_not_accepted")
    await _put(till, "EUR", "0.92")
    assert (await till.order(account, currency="EUR")).status_code == 201
    http, admin = till.billing.http, till.billing.headers("admin", "admin")
    assert (await http.delete("/api/billing/recharge/EUR", headers=admin)).status_code == 204
    assert (await http.delete("/api/billing/recharge/EUR", headers=admin)).status_code == 404
    assert (await till.order(account, currency="EUR")).json()["code"] == "currency_not_accepted"


async def test_everybody_sees_the_ratios_and_only_admins_set_them(till: Any) -> None:
    user = till.billing.headers(uuid7())
    http = till.billing.http
    listed = await http.get("/api/billing/recharge", headers=user)
    assert listed.json() == {"data": [{"currency": "USD", "price": "1", "source": "default"}], "next": None}
    body = {"currency": "CNY", "price": "1"}
    assert (await http.put("/api/billing/recharge", json=body, headers=user)).status_code == 403
    assert (await http.delete("/api/billing/recharge/USD", headers=user)).status_code == 403
    for price in ("0", "-1", "x", "1e3", "0.0000001"):
        answer = await _put(till, "CNY", price)
        assert (answer.status_code, answer.json()["param"]) == (400, "price"), price


async def test_the_files_ratios_are_in_force_after_a_start(till: Any, tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text('[[recharge]]\ncurrency = "CNY"\nprice = "2.5"\n')
    await till.start(bootstrap=str(path))

    async def applied() -> bool:
        rows = await till.billing.rows("SELECT currency, price_micro, source FROM recharge_ratios ORDER BY 1")
        return [tuple(row) for row in rows] == [("CNY", 2_500_000, "file"), ("USD", 1_000_000, "default")]

    await till.billing.until(applied)
