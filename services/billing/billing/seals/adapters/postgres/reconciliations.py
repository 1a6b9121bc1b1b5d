"""What was billed for a channel, read in pages by the index on the time requests started."""

from collections.abc import AsyncIterator
from datetime import UTC

from sqlalchemy import text

from billing.domain.audits import COMPLETION_UNITS, PROMPT_UNITS, Period
from billing.seals.domain.reconciliations import Billed
from common.kit.db import Database

_PAGE = 5000
_READ = text(
    "SELECT usage_records.id::text AS id, request_id, upstream_model, started_at, quantities, cost_nano,"
    " upstream_cost_nano FROM usage_records"
    " WHERE channel = :channel AND started_at < :until"
    " AND (started_at, usage_records.id) > (:since, CAST(:after AS uuid))"
    " ORDER BY started_at, usage_records.id LIMIT :limit"
)
_FIRST = "00000000-0000-0000-0000-000000000000"


class PostgresBilledUsage:
    """See seals.domain.ports.BilledUsage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stream(self, channel: str, period: Period) -> AsyncIterator[list[Billed]]:
        """See the port; a transaction per page, so that a slow reader holds nothing."""
        since, after = period.start, _FIRST
        while True:
            query = {
                "channel": channel,
                "since": since,
                "until": period.end,
                "after": after,
                "limit": _PAGE,
            }
            async with self._database.transaction() as connection:
                rows = (await connection.execute(_READ, query)).all()
            yield [
                Billed(
                    row.request_id,
                    row.upstream_model,
                    row.started_at.astimezone(UTC).date().isoformat(),
                    sum(row.quantities.get(unit, 0) for unit in PROMPT_UNITS),
                    sum(row.quantities.get(unit, 0) for unit in COMPLETION_UNITS),
                    row.cost_nano,
                    row.upstream_cost_nano,
                )
                for row in rows
            ]
            if len(rows) < _PAGE:
                return
            since, after = rows[-1].started_at, rows[-1].id
