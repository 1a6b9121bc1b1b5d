"""What an app earned: its balance, statement and payouts, for its owner and the operator alone."""

import asyncio
import csv
import io
from collections import Counter
from typing import Any

import pytest

from common.kit.ids import uuid7

USD = 1_000_000_000


class Office:
    """The owner of a shop's app, and the operator."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.oauth = shop.oauth
        self.path = f"/api/oauth/apps/{shop.app.client_id}"
        self.owner = self.oauth.owner(shop.app.owner, shop.app.owner_account)
        self.admin = self.oauth.owner(None, None, "admin")

    async def get(self, path: str, headers: Any = None, **params: Any) -> Any:
        return await self.oauth.http.get(self.path + path, headers=headers or self.owner, params=params)

    async def pay(self, amount: str, to: str = "wallet", key: str | None = None, **fields: Any) -> Any:
        headers = fields.pop("headers", self.admin) | {"idempotency-key": key or uuid7()}
        body = {"amount": amount, "to": to} | fields
        return await self.oauth.http.post(f"{self.path}/payouts", json=body, headers=headers)


@pytest.fixture
async def office(ledger: Any, oauth: Any) -> Office:
    return Office(await ledger.shop(oauth).open(owner=uuid7(), owner_account=uuid7()))


async def test_the_owner_sees_what_was_earned_line_by_line_and_is_paid_into_the_wallet(
    office: Office,
) -> None:
    shop = office.shop
    charge = await shop.charge("10", reference="=order")
    await shop.act(f"{charge['id']}/refunds", {"amount": "4"}, "r")
    assert (await office.get("/balance")).json()["balance"] == "5.7"
    paid = await office.pay("5", reference="april")
    assert (paid.status_code, paid.json()["status"]) == (201, "paid"), paid.text
    assert await shop.ledger.balance(shop.app.owner_account) == "5"
    assert (await office.get("/balance")).json()["balance"] == "0.7"
    first = (await office.get("/statement", limit=2)).json()
    rest = (await office.get("/statement", after=first["next"])).json()
    lines = first["data"] + rest["data"]
    assert [(line["kind"], line["amount"], line["fee"], line["net"]) for line in lines] == [
        ("charge", "10", "0.5", "9.5"),
        ("refund", "-4", "-0.2", "-3.8"),
        ("payout", "-5", "0", "-5"),
    ]
    assert rest["next"] is None
    table = await office.get("/statement", format="csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["net"] for row in rows] == ["9.5", "-3.8", "-5"]
    assert rows[0]["reference"] == "'=order"
    await shop.ledger.prove()


async def test_payouts_at_once_never_take_more_than_was_earned_and_one_key_pays_once(office: Office) -> None:
    shop = office.shop
    await office.oauth.start_replica()
    await shop.charge("10")
    answers = await asyncio.gather(*(office.pay("3", "external") for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {201: 3, 409: 7}
    assert await shop.ledger.owed("app_payouts") == 9 * USD
    again = await asyncio.gather(*(office.pay("0.1", key="same") for _ in range(10)))
    assert len({answer.json()["id"] for answer in again if answer.status_code == 201}) == 1
    assert (await office.pay("0.2", key="same")).json()["code"] == "idempotency_mismatch"
    assert (await office.get("/balance")).json()["balance"] == "0.4"
    await shop.ledger.prove()


async def test_others_see_nothing_and_only_the_operator_pays(office: Office) -> None:
    stranger = office.oauth.owner()
    for path in ("/balance", "/statement", "/charges", "/webhook"):
        assert (await office.get(path, stranger)).status_code == 404
        assert (await office.get(path, {"authorization": f"Bearer {office.shop.token}"})).status_code == 401
        assert (await office.get(path, office.oauth.grantee())).status_code == 403
    assert (await office.pay("1", headers=office.owner)).status_code == 403
    for amount in ("0", "-1", "x"):
        assert (await office.pay(amount)).json()["param"] == "amount"


async def test_an_app_of_the_operator_is_paid_outside(shop: Any) -> None:
    office = Office(shop)
    await shop.charge("1")
    assert (await office.pay("0.5", "wallet")).json()["param"] == "to"
    assert (await office.pay("0.5", "external")).status_code == 201
    await shop.ledger.prove()


async def test_people_see_what_each_app_took(office: Office) -> None:
    shop = office.shop
    other = await shop.ledger.shop(office.oauth).open("1")
    charge = await shop.charge("2", description="cards", reference="order-7")
    person = office.oauth.owner(shop.person.user, shop.person.account)
    told = (await office.oauth.http.get("/api/oauth/charges", headers=person)).json()
    assert [(one["id"], one["app"], one["description"]) for one in told["data"]] == [
        (charge["id"], shop.app.client_id, "cards")
    ]
    assert (told["data"][0]["app_name"], told["data"][0]["reference"]) == (shop.app.name, "order-7")
    assert "fee" not in told["data"][0]
    moved = await shop.ledger.rows("SELECT kind FROM transfers WHERE reference = $1", charge["id"])
    assert "hold_charge" in {row["kind"] for row in moved}, "the id leads to the balance history"
    for app, count in ((shop.app.client_id, 1), (other.app.client_id, 0)):
        listed = await office.oauth.http.get("/api/oauth/charges", headers=person, params={"app": app})
        assert len(listed.json()["data"]) == count
    path = f"/api/oauth/charges?user={shop.person.user}"
    by_admin = (await office.oauth.http.get(path, headers=office.admin)).json()["data"]
    assert [(one["id"], one["fee"]) for one in by_admin] == [(charge["id"], "0.1")]
    for stranger in (office.owner, office.oauth.owner()):
        assert (await office.oauth.http.get(path, headers=stranger)).status_code == 403
    assert (await office.oauth.http.get(path[:-1], headers=office.admin)).status_code == 400
    seen = (await office.get("/charges")).json()["data"]
    assert [one["id"] for one in seen] == [charge["id"]]
    assert shop.person.user not in str(seen)
