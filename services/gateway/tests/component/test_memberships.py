"""Plans and memberships at the door: what billing says decides group, rate and models within a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.errors import BucketNotFoundError

from common.contracts.billing import MembershipChanged
from common.contracts.bootstrap import PlanSpec, RuleSpec
from common.contracts.plans import PLANS_BUCKET, PLANS_KEY, PlanBook
from common.contracts.principals import Principal
from common.contracts.streams import BILLING
from common.kit.bus import Bus
from common.kit.ids import uuid7

MODELS = "/v1/models"
DAY = timedelta(days=1)
RULES = (RuleSpec("20", "1 month"),)
FREE = PlanSpec("free", models=("gpt-4o-mini", "tiny-*"))
VIP = PlanSpec("vip", rank=1, group="vip", rules=RULES)


class BillingNews:
    """Billing as the gateway hears it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.version = 0

    async def plans(self, *plans: PlanSpec) -> None:
        """A new plan book."""
        self.version += 1
        try:
            bucket = await self.bus.jetstream.key_value(PLANS_BUCKET)
        except BucketNotFoundError:
            bucket = await self.bus.jetstream.create_key_value(bucket=PLANS_BUCKET)
        await bucket.put(PLANS_KEY, msgspec.msgpack.encode(PlanBook(self.version, plans)))

    async def member(self, account: str, plan: str, until: datetime | None, sequence: int) -> None:
        """The account is a member now, or of nothing."""
        told = None if until is None else until.isoformat()
        event = MembershipChanged(uuid7(), sequence, account, plan, "", told, told, "payment")
        await self.bus.ensure_streams([BILLING])
        subject = f"billing.membership.changed.v1.{account}"
        await self.bus.publish(subject, msgspec.json.encode(event), {"Nats-Msg-Id": event.id})


@pytest.fixture
async def news(suite: Any) -> Any:
    """Billing's voice in a suite whose group `vip` pays half."""
    answer = await suite.admin.put("/api/groups/vip", json={"rate": "0.5"})
    assert answer.status_code == 200, answer.text
    bus = await Bus.connect(suite.nats_url, "billing")
    yield BillingNews(bus)
    await bus.close()


async def principal(suite: Any, key: Any, client: Any = None) -> Principal:
    """As the service behind the gateway sees the caller."""
    answer = await (client or suite.admin).get(MODELS, headers=key["headers"])
    assert answer.status_code == 200, answer.text
    found: Principal = suite.signer.verify(suite.service.headers()[b"x-tollway-principal"][0])
    return found


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 5) -> float:
    started_s = time.monotonic()
    while not await condition():
        assert time.monotonic() - started_s < within_s, "it did not happen in time"
        await asyncio.sleep(0.01)  # reason: the gateway is asked from outside, as a client would
    return time.monotonic() - started_s


async def until_group(suite: Any, key: Any, group: str, client: Any = None) -> float:
    async def reached() -> bool:
        return (await principal(suite, key, client)).group == group

    return await until(reached)


async def until_models(suite: Any, key: Any, models: tuple[str, ...] | None) -> None:
    async def reached() -> bool:
        return (await principal(suite, key)).models == models

    await until(reached)


async def account_of(suite: Any, key: Any) -> str:
    account: str = (await suite.admin.get("/api/me", headers=key["headers"])).json()["account"]
    return account


async def test_a_membership_gives_group_rate_and_models_on_every_replica_within_a_second(
    suite: Any, news: BillingNews
) -> None:
    second = await suite.start()
    await news.plans(FREE, VIP)
    key = await suite.key()
    await until_models(suite, key, FREE.models)
    assert (await principal(suite, key, second)).group == "default"
    await news.member(await account_of(suite, key), "vip", suite.clock.now() + DAY, 1)
    assert await until_group(suite, key, "vip", second) < 1
    await until_group(suite, key, "vip")
    now_is = await principal(suite, key, second)
    assert (now_is.rate_micro, now_is.models) == (500_000, None)


async def test_a_membership_ends_by_the_gateways_own_clock_without_any_event(
    suite: Any, news: BillingNews
) -> None:
    await news.plans(FREE, VIP)
    key = await suite.key()
    await news.member(await account_of(suite, key), "vip", suite.clock.now() + DAY, 1)
    await until_group(suite, key, "vip")
    suite.clock.advance(DAY.total_seconds() - 1)
    assert (await principal(suite, key)).group == "vip"
    suite.clock.advance(1)
    now_is = await principal(suite, key)
    assert (now_is.group, now_is.rate_micro, now_is.models) == ("default", 1_000_000, FREE.models)


async def test_me_shows_the_plan_and_its_end(suite: Any, news: BillingNews) -> None:
    key = await suite.key()
    shown = (await suite.admin.get("/api/me", headers=key["headers"])).json()
    assert (shown["plan"], shown["plan_until"]) == (None, None)
    await news.plans(FREE, VIP)
    await until_models(suite, key, FREE.models)
    shown = (await suite.admin.get("/api/me", headers=key["headers"])).json()
    assert (shown["plan"], shown["plan_until"]) == ("free", None)
    end = suite.clock.now() + DAY
    await news.member(shown["account"], "vip", end, 1)
    await until_group(suite, key, "vip")
    shown = (await suite.admin.get("/api/me", headers=key["headers"])).json()
    assert (shown["plan"], datetime.fromisoformat(shown["plan_until"])) == ("vip", end)
    suite.clock.advance(DAY.total_seconds())
    shown = (await suite.admin.get("/api/me", headers=key["headers"])).json()
    assert (shown["plan"], shown["plan_until"]) == ("free", None)


async def test_events_that_come_again_or_late_change_nothing(suite: Any, news: BillingNews) -> None:
    await news.plans(FREE, VIP)
    key = await suite.key()
    account = await account_of(suite, key)
    await news.member(account, "vip", suite.clock.now() + DAY, 7)
    await until_group(suite, key, "vip")
    await news.member(account, "", None, 6)
    await news.member(account, "vip", suite.clock.now() + DAY, 7)
    await news.member(account, "vip", suite.clock.now() + 2 * DAY, 8)

    async def applied() -> bool:
        rows = await suite.rows("SELECT sequence FROM memberships")
        return bool(rows[0][0] == 8)

    await until(applied)
    assert (await principal(suite, key)).group == "vip"
    updated = await suite.rows("SELECT event_sequence FROM users")
    assert updated[0][0] == 4  # created, key created, and one for each of the two that told something new


async def test_a_keys_own_models_and_the_plans_are_both_kept(suite: Any, news: BillingNews) -> None:
    await news.plans(FREE, VIP)
    key = await suite.key(models=["tiny-1", "gpt-4o*", "claude"])
    await until_models(suite, key, ("tiny-1", "gpt-4o-mini"))
    await news.member(await account_of(suite, key), "vip", suite.clock.now() + DAY, 1)
    await until_models(suite, key, ("tiny-1", "gpt-4o*", "claude"))


async def test_a_plan_does_not_make_a_key_a_restricted_one(suite: Any, news: BillingNews) -> None:
    await news.plans(FREE)
    key = await suite.key()
    await until_models(suite, key, FREE.models)
    body = {"email": "ann@example.com", "name": "second"}
    made = await suite.admin.post("/api/keys", json=body, headers=key["headers"])
    assert made.status_code == 201, made.text


async def test_whom_an_admin_put_into_a_group_keeps_it(suite: Any, news: BillingNews) -> None:
    await suite.admin.put("/api/groups/partner", json={"rate": "0.9"})
    await suite.user("bob@example.com", group="partner")
    bob, ann = await suite.key("bob@example.com"), await suite.key()
    await news.plans(FREE, VIP)
    await until_models(suite, ann, FREE.models)
    await news.member(await account_of(suite, bob), "vip", suite.clock.now() + DAY, 1)
    await news.member(await account_of(suite, ann), "vip", suite.clock.now() + DAY, 1)
    await until_group(suite, ann, "vip")
    now_is = await principal(suite, bob)
    assert (now_is.group, now_is.rate_micro, now_is.models) == ("partner", 900_000, None)


async def test_a_plan_or_group_that_is_gone_leaves_what_everybody_has(suite: Any, news: BillingNews) -> None:
    await news.plans(FREE, VIP)
    key = await suite.key()
    await news.member(await account_of(suite, key), "vip", suite.clock.now() + DAY, 1)
    await until_group(suite, key, "vip")
    await news.plans(FREE, PlanSpec("vip", rank=1, group="no-such-group", rules=RULES))
    await until_group(suite, key, "default")
    assert (await principal(suite, key)).models is None
    await news.plans(FREE)
    await until_models(suite, key, FREE.models)
    await news.plans()
    await until_models(suite, key, None)


async def test_a_membership_of_an_account_nobody_has_waits_for_its_owner(
    suite: Any, news: BillingNews
) -> None:
    await news.plans(FREE, VIP)
    await news.member(uuid7(), "vip", suite.clock.now() + DAY, 1)
    key = await suite.key()
    await news.member(await account_of(suite, key), "vip", suite.clock.now() + DAY, 1)
    await until_group(suite, key, "vip")
    assert len(await suite.rows("SELECT FROM memberships")) == 2


async def test_the_files_plans_hold_until_billing_is_heard(bare_suite: Any, tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text('[[plans]]\nname = "free"\nmodels = ["gpt-4o-mini"]\n')
    bare_suite.admin = await bare_suite.start(bootstrap=str(path))
    key = await bare_suite.key()
    assert (await principal(bare_suite, key)).models == ("gpt-4o-mini",)
