"""The queue of deliveries to apps, shared by all replicas. Lock order: webhook, delivery.

Deliveries are made by the transaction of what they tell (see stories), so there is nothing to fan out.
"""

from datetime import datetime
from operator import itemgetter

from sqlalchemy import text

from common.kit.db import Database
from common.webhooks.attempts import LEASE, Outcome, next_attempt
from oauth.charges.adapters.postgres.webhooks import SecretBox
from oauth.charges.domain.webhooks import Delivery, Due

WIDTH = 4
"""Attempts under way at one app; one at one that fails, so that it takes little from the others."""
# Two statements, so that the second sees what whoever held the webhook before has claimed.
_LOCK_READY = """
SELECT w.app::text, w.url, w.secrets, w.failing_since FROM app_webhooks AS w
 WHERE w.enabled AND EXISTS (
    SELECT FROM app_deliveries AS d WHERE d.app = w.app AND d.status = 'pending' AND d.due_at <= $1)
 ORDER BY w.failing_since NULLS FIRST LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
"""
_CLAIM = """
UPDATE app_deliveries AS c SET leased = true, due_at = $4, attempts = c.attempts + 1
  FROM unnest($1::uuid[], $2::integer[]) AS w (app, width)
 CROSS JOIN LATERAL (
    SELECT d.id FROM app_deliveries AS d
     WHERE d.app = w.app AND d.status = 'pending' AND d.due_at <= $3 ORDER BY d.due_at, d.id
     LIMIT greatest(0, w.width - (SELECT count(*) FROM app_deliveries AS l
        WHERE l.app = w.app AND l.status = 'pending' AND l.leased AND l.due_at > $3))
 ) AS due
 WHERE c.id = due.id RETURNING c.id, c.app::text, c.event::text, c.body, c.attempts
"""
_LOCK = "SELECT failing_since FROM app_webhooks WHERE app = $1 FOR NO KEY UPDATE"
_SETTLE = """
UPDATE app_deliveries SET status = $3, leased = false, due_at = $4, response_code = $5, error = $6,
       finished_at = $7
 WHERE id = $1 AND attempts = $2 AND leased AND status = 'pending' RETURNING id
"""
_FAILING = "UPDATE app_webhooks SET failing_since = $2 WHERE app = $1"
_LIST = """
SELECT id::text, event::text, type, status, attempts,
       CASE WHEN status = 'pending' AND NOT leased THEN due_at END, response_code, error, created_at,
       finished_at
  FROM app_deliveries WHERE app = $1 AND app_deliveries.id < $2 ORDER BY app_deliveries.id DESC LIMIT $3
"""
_AGAIN = """
UPDATE app_deliveries SET status = 'pending', attempts = 0, leased = false, due_at = $3, finished_at = NULL
 WHERE app = $1 AND id = $2 RETURNING id
"""
_PRUNE = text(
    "DELETE FROM app_deliveries WHERE app_deliveries.id = ANY(ARRAY(SELECT d.id FROM app_deliveries AS d"
    " WHERE d.status <> 'pending' AND d.finished_at < :before ORDER BY d.finished_at LIMIT :limit))"
)


class PostgresDeliveries:
    """See common.webhooks.deliverer.Queue and the DeliveryLog port."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def fan_out(self, _now: datetime) -> int:
        """Nothing: see the module."""
        return 0

    async def claim(self, now: datetime, limit: int) -> list[Due]:
        """Apps that do not fail come first."""
        async with self._database.driver_transaction() as driver:
            ready = await driver.fetch(_LOCK_READY, now, limit)
            if not ready:
                return []
            hooks = {row["app"]: row for row in ready}
            widths = [1 if row["failing_since"] else WIDTH for row in ready]
            rows = await driver.fetch(_CLAIM, list(hooks), widths, now, now + LEASE)
        return [
            Due(
                str(id_), attempts, app, hooks[app]["url"], event, body,
                tuple(self._box.open(app, hooks[app]["secrets"])),
            )
            for id_, app, event, body, attempts in sorted(rows, key=itemgetter("id"))
        ]  # fmt: skip

    async def settle(self, due: Due, outcome: Outcome, now: datetime) -> datetime | None:
        """See the port; the second time nothing changes."""
        again = None if outcome.succeeded else next_attempt(due.id, due.attempts, outcome, now)
        status = "succeeded" if outcome.succeeded else "failed" if again is None else "pending"
        async with self._database.driver_transaction() as driver:
            row = await driver.fetchrow(_LOCK, due.app)
            settled = await driver.fetchval(
                _SETTLE, int(due.id), due.attempts, status, again or now, outcome.response_code,
                outcome.error, None if again else now,
            )  # fmt: skip
            if row is None or settled is None:
                return None
            failing: datetime | None = None if outcome.succeeded else row[0] or now
            if failing != row[0]:
                await driver.execute(_FAILING, due.app, failing)
        return failing

    async def list_page(self, app: str, before: int, limit: int) -> list[Delivery]:
        """By index (app, id)."""
        async with self._database.driver_transaction() as driver:
            return [Delivery(*row) for row in await driver.fetch(_LIST, app, before, limit)]

    async def again(self, app: str, delivery: int, now: datetime) -> bool:
        """See the port."""
        async with self._database.driver_transaction() as driver:
            return await driver.fetchval(_AGAIN, app, delivery, now) is not None

    async def prune(self, before: datetime) -> None:
        """Forget what was finished before `before`."""
        await self._database.delete(_PRUNE, {"before": before})
