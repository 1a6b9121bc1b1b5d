"""The queue of webhook deliveries in PostgreSQL, shared by all replicas.

Deliveries are made by a cursor that moves over the log of events in the transaction that writes them, and
only as far as the order of positions is final: none is missed and none made twice. Lock order: endpoint,
delivery.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.postgres.positions import settled_position
from billing.notices.adapters.postgres.events import events_of
from billing.notices.adapters.postgres.webhooks import COLUMNS, endpoint_of
from billing.notices.adapters.vault import SecretVault
from billing.notices.domain.deliveries import Delivery, Due
from billing.notices.domain.events import StoredEvent, structured
from billing.notices.domain.webhooks import Endpoint
from common.kit.db import Database
from common.webhooks.attempts import LEASE, Outcome, next_attempt

WIDTH = 4
"""Attempts under way at one endpoint; one at one that fails, so that it takes little from the others."""
_ROWS = 500
_READ_CURSOR = text("SELECT position FROM webhook_cursor")
_LOCK_CURSOR = text("SELECT position FROM webhook_cursor FOR UPDATE SKIP LOCKED")
_MOVE_CURSOR = text("UPDATE webhook_cursor SET position = :position")
_IS_WANTED = text("SELECT EXISTS (SELECT FROM webhook_endpoints WHERE enabled)")
_LOG = text(
    "SELECT account::text AS account, position, created_at, events FROM billing_events"
    " WHERE position > :after AND position <= :settled ORDER BY position LIMIT :limit"
)
_LISTENING = text(
    f"SELECT {COLUMNS}, since_position FROM webhook_endpoints AS e WHERE enabled"  # noqa: S608
    " AND (everybody OR account = ANY(CAST(:accounts AS uuid[]))) ORDER BY created_at, e.id"
)
_INSERT = text(
    "INSERT INTO webhook_deliveries (endpoint, event, type, account, sequence, body, due_at, created_at)"
    " SELECT *, :now, :now FROM unnest(CAST(:endpoints AS uuid[]), CAST(:events AS uuid[]),"
    " CAST(:types AS text[]), CAST(:accounts AS uuid[]), CAST(:sequences AS bigint[]),"
    " CAST(:bodies AS bytea[]))"
)
# Two statements, so that the second sees what whoever held the endpoint before has claimed.
_LOCK_READY = text(
    f"SELECT {COLUMNS} FROM webhook_endpoints AS e WHERE enabled AND EXISTS ("  # noqa: S608
    "SELECT FROM webhook_deliveries AS d"
    " WHERE d.endpoint = e.id AND d.status = 'pending' AND d.due_at <= :now)"
    " ORDER BY failing_since NULLS FIRST LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)
_CLAIM = text("""
    UPDATE webhook_deliveries AS c SET leased = true, due_at = :until, attempts = c.attempts + 1
    FROM unnest(CAST(:endpoints AS uuid[]), CAST(:widths AS integer[])) AS e (id, width)
    CROSS JOIN LATERAL (
        SELECT d.id FROM webhook_deliveries AS d
        WHERE d.endpoint = e.id AND d.status = 'pending' AND d.due_at <= :now
        ORDER BY d.due_at, d.id
        LIMIT greatest(0, e.width - (SELECT count(*) FROM webhook_deliveries AS l
            WHERE l.endpoint = e.id AND l.status = 'pending' AND l.leased AND l.due_at > :now))
    ) AS due
    WHERE c.id = due.id
    RETURNING c.id, c.endpoint::text, c.event::text, c.body, c.attempts
""")
_LOCK_ENDPOINT = text(
    "SELECT failing_since FROM webhook_endpoints WHERE id = CAST(:endpoint AS uuid) FOR NO KEY UPDATE"
)
_SETTLE = text(
    "UPDATE webhook_deliveries SET status = :status, leased = false, due_at = :due_at, response_code = :code,"
    " error = :error, finished_at = :finished_at"
    " WHERE id = :id AND attempts = :attempts AND leased AND status = 'pending' RETURNING id"
)
_FAILING = text("UPDATE webhook_endpoints SET failing_since = :since WHERE id = CAST(:endpoint AS uuid)")
_DISABLE = text(
    "UPDATE webhook_endpoints SET enabled = false, disabled_reason = :reason"
    " WHERE id = CAST(:endpoint AS uuid)"
)
_LIST = text(
    "SELECT id::text, endpoint::text, event::text, type, account::text, sequence, status, attempts,"
    " CASE WHEN status = 'pending' AND NOT leased THEN due_at END, response_code, error,"
    " created_at, finished_at FROM webhook_deliveries"
    " WHERE webhook_deliveries.endpoint = CAST(:endpoint AS uuid) AND webhook_deliveries.id < :before"
    " ORDER BY webhook_deliveries.id DESC LIMIT :limit"
)
_AGAIN = text(
    "UPDATE webhook_deliveries SET status = 'pending', attempts = 0, leased = false, due_at = :now,"
    " finished_at = NULL WHERE endpoint = CAST(:endpoint AS uuid) AND id = :id RETURNING id"
)
_PRUNE = text(
    "DELETE FROM webhook_deliveries WHERE webhook_deliveries.id = ANY(ARRAY(SELECT d.id"
    " FROM webhook_deliveries AS d WHERE d.status <> 'pending' AND d.finished_at < :before"
    " ORDER BY d.finished_at LIMIT :limit))"
)


class PostgresDeliveries:
    """See domain.ports.DeliveryQueue."""

    def __init__(self, database: Database, vault: SecretVault) -> None:
        self._database = database
        self._vault = vault

    async def fan_out(self, now: datetime) -> int:
        """See the port; the number of deliveries made."""
        async with self._database.transaction() as connection:
            seen = int(await connection.scalar(_READ_CURSOR))
        settled = await settled_position(self._database, seen)
        made = 0
        while seen < settled:
            async with self._database.transaction() as connection:
                position = await connection.scalar(_LOCK_CURSOR)
                if position is None or position >= settled:
                    break  # another replica is at it, or was
                seen, count = await _turn(connection, position, settled, now)
                made += count
        return made

    async def claim(self, now: datetime, limit: int) -> list[Due]:
        """See the port; endpoints that do not fail come first."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_LOCK_READY, {"now": now, "limit": limit})).all()
            endpoints = {row.id: (endpoint_of(row), row.secrets) for row in rows}
            if not endpoints:
                return []
            widths = [1 if row.failing_since else WIDTH for row in rows]
            claimed = await connection.execute(
                _CLAIM,
                {"endpoints": list(endpoints), "widths": widths, "now": now, "until": now + LEASE},
            )
            found = sorted(claimed.all(), key=lambda row: row.id)
        dues = []
        for row in found:
            endpoint, sealed = endpoints[row.endpoint]
            secrets = tuple(self._vault.open(endpoint.id, sealed))
            dues.append(Due(str(row.id), row.attempts, row.event, row.body, endpoint, secrets))
        return dues

    async def settle(self, due: Due, outcome: Outcome, now: datetime) -> datetime | None:
        """See the port."""
        again = None if outcome.succeeded else next_attempt(due.id, due.attempts, outcome, now)
        status = "succeeded" if outcome.succeeded else "failed" if again is None else "pending"
        endpoint = {"endpoint": due.endpoint.id}
        async with self._database.transaction() as connection:
            row = (await connection.execute(_LOCK_ENDPOINT, endpoint)).first()
            settled = await connection.execute(
                _SETTLE,
                {
                    "id": int(due.id),
                    "attempts": due.attempts,
                    "status": status,
                    "due_at": again or now,
                    "code": outcome.response_code,
                    "error": outcome.error,
                    "finished_at": None if again else now,
                },
            )
            if row is None or settled.first() is None:
                return None
            failing: datetime | None = None if outcome.succeeded else row.failing_since or now
            if failing != row.failing_since:
                await connection.execute(_FAILING, endpoint | {"since": failing})
        return failing

    async def disable(self, endpoint: str, reason: str) -> None:
        """See the port."""
        async with self._database.transaction() as connection:
            await connection.execute(_DISABLE, {"endpoint": endpoint, "reason": reason})

    async def page(self, endpoint: str, before: int, limit: int) -> list[Delivery]:
        """See the port; by index (endpoint, id)."""
        query = {"endpoint": endpoint, "before": before, "limit": limit}
        async with self._database.transaction() as connection:
            return [Delivery(*row) for row in await connection.execute(_LIST, query)]

    async def again(self, endpoint: str, id_: str, now: datetime) -> bool:
        """See the port."""
        query = {"endpoint": endpoint, "id": int(id_), "now": now}
        async with self._database.transaction() as connection:
            return (await connection.execute(_AGAIN, query)).first() is not None

    async def prune(self, before: datetime) -> None:
        """See the port."""
        await self._database.delete(_PRUNE, {"before": before})


async def _turn(connection: AsyncConnection, position: int, settled: int, now: datetime) -> tuple[int, int]:
    """Turn some of the log behind `position` into deliveries: how far, and how many."""
    reached, made = settled, 0
    if await connection.scalar(_IS_WANTED):
        query = {"after": position, "settled": settled, "limit": _ROWS}
        rows = (await connection.execute(_LOG, query)).mappings().all()
        if len(rows) == _ROWS:
            reached = rows[-1]["position"]
        events = [(row["position"], event) for row in rows for event in events_of(row)]
        accounts = list({event.account for _, event in events})
        found = await connection.execute(_LISTENING, {"accounts": accounts})
        listening = [(row.since_position, endpoint_of(row)) for row in found]
        made = await _insert(connection, listening, events, now)
    await connection.execute(_MOVE_CURSOR, {"position": reached})
    return reached, made


async def _insert(
    connection: AsyncConnection,
    listening: Sequence[tuple[int, Endpoint]],
    events: Sequence[tuple[int, StoredEvent]],
    now: datetime,
) -> int:
    """Each event for each endpoint that was registered before it; positions come first in both."""
    wanted = [
        (endpoint.id, event)
        for position, event in events
        for since, endpoint in listening
        if position > since and endpoint.wants(event.account, event.type)
    ]
    if wanted:
        told = [event for _, event in wanted]
        await connection.execute(
            _INSERT,
            {
                "now": now,
                "endpoints": [id_ for id_, _ in wanted],
                "events": [event.id for event in told],
                "types": [event.type for event in told],
                "accounts": [event.account for event in told],
                "sequences": [event.sequence for event in told],
                "bodies": [structured(event) for event in told],
            },
        )
    return len(wanted)
