"""What is written when the money of an app moved: the event, its webhook, the line of its statement."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import asyncpg
import msgspec

from common.contracts.oauth import AppChargeRefunded, ChargeEvent
from common.contracts.streams import event_subject
from common.kit import outbox
from common.kit.outbox import OutboxEvent
from oauth.charges.domain.charges import Charge
from oauth.charges.domain.refunds import Refund

Story = tuple[ChargeEvent, Charge, Refund | None]
_LOCK = "SELECT 1 FROM people WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE"
_NUMBER = """
UPDATE people AS p SET event_sequence = p.event_sequence + n.count
  FROM unnest($1::uuid[], $2::bigint[]) AS n (user_id, count) WHERE p.user_id = n.user_id
RETURNING p.user_id::text, p.event_sequence
"""
_LISTENING = "SELECT app::text FROM app_webhooks WHERE app = ANY($1::uuid[]) AND enabled"
_DELIVER = """
INSERT INTO app_deliveries (app, event, type, body, due_at, created_at)
SELECT *, $5, $5 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[])
"""
_ENTER = """
INSERT INTO app_entries (app, kind, object, charge, amount_nano, fee_nano, reference, posted_at)
SELECT *, $8 FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::text[])
"""


class Stories:
    """`notice` makes the body of a webhook: an event, the charge, when, the refund if it is one."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        notice: Callable[[ChargeEvent, Charge, datetime, Refund | None], bytes],
    ) -> None:
        self._clock = clock
        self._notice = notice

    async def lock_people(self, driver: asyncpg.Connection, users: Collection[str]) -> datetime:
        """Before anything else of theirs is locked, always in one order; the time is read after that."""
        if users:
            await driver.execute(_LOCK, list(users))
        return self._clock()

    async def number(self, driver: asyncpg.Connection, users: Sequence[str]) -> list[int]:
        """The next number of each person's gap-free sequence, for each mention."""
        if not users:
            return []
        counts = Counter(users)
        rows = await driver.fetch(_NUMBER, list(counts), list(counts.values()))
        last = {user: last - counts[user] for user, last in rows}
        numbers = []
        for user in users:
            last[user] += 1
            numbers.append(last[user])
        return numbers

    async def tell(self, driver: asyncpg.Connection, stories: Sequence[Story], now: datetime) -> None:
        """Write all that follows from these events."""
        if not stories:
            return
        packets = outbox.packets([_event(event) for event, _, _ in stories])
        await driver.execute(outbox.INSERT_PACKETS, packets, now)
        await self._deliver(driver, stories, now)
        lines = [line for line in map(_line, stories) if line is not None]
        if lines:
            await driver.execute(_ENTER, *map(list, zip(*lines, strict=True)), now)

    async def _deliver(self, driver: asyncpg.Connection, stories: Sequence[Story], now: datetime) -> None:
        rows = await driver.fetch(_LISTENING, list({charge.app for _, charge, _ in stories}))
        listening = {row[0] for row in rows}
        heard = [story for story in stories if story[1].app in listening]
        if heard:
            await driver.execute(
                _DELIVER,
                [charge.app for _, charge, _ in heard],
                [event.id for event, _, _ in heard],
                [_type(event).removeprefix("oauth.").removesuffix(".v1") for event, _, _ in heard],
                [self._notice(event, charge, now, refund) for event, charge, refund in heard],
                now,
            )


def _line(story: Story) -> tuple[object, ...] | None:
    event, charge, refund = story
    if isinstance(event, AppChargeRefunded) and refund is not None:
        amounts = (-refund.amount_nano, -refund.fee_nano)
        return (charge.app, "refund", refund.id, charge.id, *amounts, charge.reference)
    if charge.state != "succeeded":
        return None
    return (
        charge.app,
        "charge",
        charge.id,
        charge.id,
        charge.captured_nano,
        charge.fee_nano,
        charge.reference,
    )


def _type(event: ChargeEvent) -> str:
    return str(type(event).__struct_config__.tag)


def _event(event: ChargeEvent) -> OutboxEvent:
    subject = event_subject(_type(event), event.user)
    return OutboxEvent(event.id, subject, event.sequence, msgspec.json.encode(event))
