"""What is told when the money of an app moved: the event and its webhook."""

from collections.abc import Callable, Collection, Container, Sequence
from datetime import datetime

import asyncpg
import msgspec

from common.contracts.oauth import ChargeEvent
from common.contracts.streams import event_subject
from common.kit import outbox
from common.kit.outbox import OutboxEvent
from oauth.charges.domain.charges import Charge
from oauth.charges.domain.refunds import Refund

Story = tuple[ChargeEvent, Charge, Refund | None]
_LISTENING = "SELECT app::text FROM app_webhooks WHERE app = $1 AND enabled"
_DELIVER = """
INSERT INTO app_deliveries (app, event, type, body, due_at, created_at)
SELECT *, $5, $5 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[])
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

    def now(self) -> datetime:
        """The time of what is written."""
        return self._clock()

    async def listening(self, driver: asyncpg.Connection, app: str) -> Collection[str]:
        """The app, when it has a webhook."""
        return [row[0] for row in await driver.fetch(_LISTENING, app)]

    async def tell(
        self, driver: asyncpg.Connection, stories: Sequence[Story], listening: Container[str]
    ) -> None:
        """Write all that follows from these events, whose people's rows are locked: so time does not go back
        from one event of a person to the next. `listening` are apps with a webhook.
        """
        if not stories:
            return
        now = self._clock()
        packets = outbox.packets([_event(event) for event, _, _ in stories])
        await driver.execute(outbox.INSERT_PACKETS, packets, now)
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


def _type(event: ChargeEvent) -> str:
    return str(type(event).__struct_config__.tag)


def _event(event: ChargeEvent) -> OutboxEvent:
    subject = event_subject(_type(event), event.user)
    return OutboxEvent(event.id, subject, event.sequence, msgspec.json.encode(event))
