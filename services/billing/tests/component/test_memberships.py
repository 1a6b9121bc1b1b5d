"""Memberships through the running ledger: a payment makes a member at once, time and refunds unmake one."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from billing.domain.accounts import STRIPE_CLEARING
from billing.domain.books import Books, Wanted
from billing.domain.topups import PostTopup
from common.contracts.plans import PLANS_BUCKET, PLANS_KEY, PlanBook
from common.kit.bootstrap import BootstrapError
from common.kit.ids import uuid7

USD = 1_000_000_000
DAY_S = 86_400.0
PLANS = [
    {"name": "free", "models": ["gpt-4o-mini"]},
    {
        "name": "vip",
        "rank": 1,
        "group": "vip",
        "rules": [
            {"amount": "20", "within": "1 month", "gives": "1 month"},
            {"amount": "40", "gives": "6 months"},
        ],
    },
]


class TakeBack(msgspec.Struct, frozen=True):
    """A chargeback or refund as payments post it: `reference` is the payment it takes back."""

    account: str
    amount_nano: int
    kind: str
    reference: str
    size: int = 1

    def want(self, wanted: Wanted) -> None:
        wanted.customers.add(self.account)
        wanted.platform.add(STRIPE_CLEARING)

    def decide(self, books: Books) -> None:
        customer = books.customers[self.account]
        clearing = books.accounts[STRIPE_CLEARING]
        books.post(self.kind, customer.wallet, clearing, self.amount_nano, customer, self.reference)


async def put_plans(billing: Any, plans: Any) -> Any:
    headers = billing.headers("admin", "admin")
    answer = await billing.http.put("/api/billing/plans", json={"plans": plans}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def membership(billing: Any, account: str) -> tuple[str | None, str | None, str | None]:
    answer = await billing.http.get("/api/billing/membership", headers=billing.headers(account))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["plan"], body["since"], body["until"]


async def changes(billing: Any, account: str, count: int) -> list[dict[str, Any]]:
    """The account's first `count` membership events."""
    subject = f"billing.membership.changed.v1.{account}"
    subscription = await billing.bus.jetstream.subscribe(subject, ordered_consumer=True)
    found = [msgspec.json.decode((await subscription.next_msg(timeout=20)).data) for _ in range(count)]
    await subscription.unsubscribe()
    return found


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


async def until_plan(billing: Any, account: str, plan: str | None) -> None:
    async def reached() -> bool:
        return (await membership(billing, account))[0] == plan

    await billing.until(reached)


async def test_a_topup_makes_a_member_in_the_same_transaction_and_tells_it(billing: Any) -> None:
    await put_plans(billing, PLANS)
    start = billing.clock.now()
    account = await billing.funded("10")
    assert await membership(billing, account) == (None, None, None)
    billing.clock.advance(DAY_S)
    await billing.topup(account, "10")
    end = datetime(2026, 2, 15, 12, 0, tzinfo=UTC)
    assert await membership(billing, account) == ("vip", iso(start), iso(end))
    assert await billing.balance(account) == (20 * USD, 0)  # a gift: nothing is deducted
    (event,) = await changes(billing, account, 1)
    told = (event["plan"], event["previous"], event["since"], event["until"], event["reason"])
    assert told == ("vip", "", iso(start), iso(end), "topup")
    report = await billing.audit()
    assert report["ok"], report


async def test_a_membership_ends_by_the_ledgers_clock_and_twenty_more_give_five_months(billing: Any) -> None:
    await put_plans(billing, PLANS)
    account = await billing.funded("20")
    billing.clock.advance(31 * DAY_S)
    await until_plan(billing, account, None)
    await billing.topup(account, "20")
    assert (await membership(billing, account))[2] == iso(datetime(2026, 7, 15, 12, 0, tzinfo=UTC))
    first, ended, second = await changes(billing, account, 3)
    assert (first["plan"], ended["plan"], second["plan"]) == ("vip", "", "vip")
    assert (ended["previous"], ended["until"], ended["reason"]) == ("vip", None, "expired")
    assert first["sequence"] < ended["sequence"] < second["sequence"]


async def test_two_replicas_end_a_membership_once(billing: Any) -> None:
    await put_plans(billing, PLANS)
    await billing.start_replica()
    accounts = [await billing.funded("20") for _ in range(5)]
    billing.clock.advance(32 * DAY_S)
    for account in accounts:
        await until_plan(billing, account, None)
    await billing.topup(accounts[0], "20")
    kinds = [event["reason"] for event in await changes(billing, accounts[0], 3)]
    assert kinds == ["topup", "expired", "topup"]
    report = await billing.audit()
    assert report["ok"], report


async def test_many_payments_at_once_make_one_membership(billing: Any) -> None:
    await put_plans(billing, PLANS)
    await billing.start_replica()
    account = uuid7()
    writers = [app.state.writer for app in billing.apps]
    payments = [PostTopup(uuid7(), account, USD, "payment", "", source=STRIPE_CLEARING) for _ in range(40)]
    await asyncio.gather(*(writers[n % 2].submit(payment) for n, payment in enumerate(payments)))
    await asyncio.gather(*(writers[n % 2].submit(payment) for n, payment in enumerate(payments)))
    assert (await membership(billing, account))[2] == iso(datetime(2026, 7, 15, 12, 0, tzinfo=UTC))
    events = await changes(billing, account, 2)
    assert [event["until"][:10] for event in events] == ["2026-02-15", "2026-07-15"]


async def test_grants_do_not_count_and_redeemed_codes_do(billing: Any) -> None:
    await put_plans(billing, PLANS)
    account, writer = uuid7(), billing.apps[0].state.writer
    await writer.submit(PostTopup(uuid7(), account, 50 * USD, "grant", "bootstrap"))
    assert (await membership(billing, account))[0] is None
    await writer.submit(PostTopup(uuid7(), account, 20 * USD, "redemption", ""))
    assert (await membership(billing, account))[0] == "vip"


@pytest.mark.parametrize("kind", ["payment_refund", "chargeback"])
async def test_what_is_taken_back_unmakes_the_member_and_what_is_returned_makes_one_again(
    billing: Any, kind: str
) -> None:
    await put_plans(billing, PLANS)
    account, writer, payment = uuid7(), billing.apps[0].state.writer, uuid7()
    await writer.submit(PostTopup(payment, account, 20 * USD, "payment", "", source=STRIPE_CLEARING))
    billing.clock.advance(DAY_S)
    await writer.submit(TakeBack(account, 5 * USD, kind, payment))
    assert await membership(billing, account) == (None, None, None)
    returned = PostTopup(uuid7(), account, 5 * USD, f"{kind}_reversed", "", source=STRIPE_CLEARING)
    await writer.submit(returned)
    assert (await membership(billing, account))[0] == "vip"
    assert [event["reason"] for event in await changes(billing, account, 3)] == [
        "payment", kind, f"{kind}_reversed"
    ]  # fmt: skip


async def test_of_two_payments_the_one_that_is_charged_back_stops_counting(billing: Any) -> None:
    await put_plans(billing, PLANS)
    account, writer, first = uuid7(), billing.apps[0].state.writer, uuid7()
    await writer.submit(PostTopup(first, account, 20 * USD, "payment", "", source=STRIPE_CLEARING))
    billing.clock.advance(40 * DAY_S)
    second_at = billing.clock.now()
    await writer.submit(PostTopup(uuid7(), account, 20 * USD, "payment", "", source=STRIPE_CLEARING))
    assert (await membership(billing, account))[2] == iso(datetime(2026, 7, 15, 12, 0, tzinfo=UTC))
    await writer.submit(TakeBack(account, 20 * USD, "chargeback", first))
    plan, since, until = await membership(billing, account)
    assert (plan, since) == ("vip", iso(second_at))
    assert until == iso(second_at.replace(month=second_at.month + 1))


async def test_a_refund_by_stripe_unmakes_the_member(till: Any) -> None:
    await put_plans(till.billing, PLANS)
    account = uuid7()
    first = await till.paid(account, amount="20")
    assert (await membership(till.billing, account))[0] == "vip"
    await till.paid(account, amount="20")
    assert (await membership(till.billing, account))[2] == iso(datetime(2026, 7, 15, 12, 0, tzinfo=UTC))
    assert (await till.refund(first["id"])).status_code == 201
    assert (await membership(till.billing, account))[2] == iso(datetime(2026, 2, 15, 12, 0, tzinfo=UTC))


async def test_new_plans_judge_everybody_who_ever_paid(billing: Any) -> None:
    account, poor = await billing.funded("15"), await billing.funded("1")
    await put_plans(billing, PLANS)
    assert (await membership(billing, account))[0] is None
    cheaper = [{"name": "vip", "rank": 1, "rules": [{"amount": "15", "gives": "1 week"}]}]
    assert (await put_plans(billing, cheaper))["version"] == 2
    await until_plan(billing, account, "vip")
    assert (await membership(billing, poor))[0] is None
    await put_plans(billing, [])
    await until_plan(billing, account, None)
    assert [event["reason"] for event in await changes(billing, account, 2)] == ["plans", "plans"]


async def test_plans_are_versions_and_lie_where_the_gateway_finds_them(billing: Any) -> None:
    first = await put_plans(billing, PLANS)
    assert first["version"] == (await put_plans(billing, PLANS))["version"] == 1
    listed = await billing.http.get("/api/billing/plans", headers=billing.headers(uuid7()))
    assert [plan["name"] for plan in listed.json()["data"]] == ["free", "vip"]
    assert listed.json()["next"] is None

    async def published() -> bool:
        bucket = await billing.bus.jetstream.key_value(PLANS_BUCKET)
        book = msgspec.msgpack.decode((await bucket.get(PLANS_KEY)).value, type=PlanBook)
        return [plan.group for plan in book.plans] == [None, "vip"] and book.version == 1

    await billing.until(published)


async def test_the_files_plans_are_in_force_from_the_start(billing: Any, tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text(
        '[[plans]]\nname = "vip"\nrank = 1\nrules = [{amount = "5", gives = "1 week"}]\n'
        'allowance = {amount = "0.5", time_zone = "Asia/Shanghai"}\n'
    )
    await billing.start_replica(bootstrap=str(path))

    async def listed() -> bool:
        answer = await billing.http.get("/api/billing/plans", headers=billing.headers(uuid7()))
        return bool(answer.json()["version"] == 1)

    await billing.until(listed)
    account = await billing.funded("5")
    plan, _, until = await membership(billing, account)
    assert (plan, until) == ("vip", iso(billing.clock.now() + timedelta(days=7)))
    path.write_text('[[plans]]\nname = "vip"\nrules = [{amount = "five", gives = "1 week"}]\n')
    with pytest.raises(BootstrapError, match="plan vip"):
        await billing.start_replica(bootstrap=str(path))


async def test_what_is_wrong_is_refused_and_changes_nothing(billing: Any) -> None:
    headers = billing.headers(uuid7())
    body = {"plans": PLANS}
    assert (await billing.http.put("/api/billing/plans", json=body, headers=headers)).status_code == 403
    admin = billing.headers("admin", "admin")
    for plans in (
        [{"name": "a"}, {"name": "b", "rank": 1}],
        [{"name": "a", "rules": [{"amount": "-5", "gives": "1 month"}]}],
        [{"name": "a", "rules": [{"amount": "5", "gives": "soon"}]}],
        [{"name": "a", "surprise": 1}],
        [{"name": "a", "allowance": {"amount": "1", "period": "hour"}}],
    ):
        answer = await billing.http.put("/api/billing/plans", json={"plans": plans}, headers=admin)
        assert answer.status_code == 400, answer.text
    listed = await billing.http.get("/api/billing/plans", headers=headers)
    assert listed.json() == {"data": [], "version": 0, "next": None}
    other = await billing.http.get("/api/billing/membership", params={"account": uuid7()}, headers=headers)
    assert other.status_code == 403
    nobody = await billing.http.get("/api/billing/membership", params={"account": "x"}, headers=admin)
    assert (nobody.status_code, nobody.json()["plan"]) == (200, None)
