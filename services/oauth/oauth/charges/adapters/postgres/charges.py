"""The table of charges, written a batch at a time by array statements.

Lock order: people (by id), charges. Events of one person are appended while that person's row is locked.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable
from oauth.charges.adapters.postgres.stories import Stories
from oauth.charges.domain.charges import HOLD_TTL, PATIENCE, Charge, ChargeQuery, Settlement, State
from oauth.charges.domain.events import is_told, settled_event

_WRITTEN = (
    ("id", "uuid"), ("app", "uuid"), ("client_id", "text"), ("grant_id", "uuid"), ("user_id", "uuid"),
    ("account", "uuid"), ("key", "text"), ("fingerprint", "bytea"), ("state", "text"),
    ("amount_nano", "bigint"), ("capture", "boolean"), ("fee_micro", "integer"), ("description", "text"),
    ("reference", "text"), ("metadata", "text"), ("created_at", "timestamptz"), ("due_at", "timestamptz"),
)  # fmt: skip
_ADD = (
    f"INSERT INTO charges ({', '.join(name for name, _ in _WRITTEN)}) SELECT * FROM unnest("  # noqa: S608
    f"{', '.join(f'${number}::{kind}[]' for number, (_, kind) in enumerate(_WRITTEN, 1))})"
    " ON CONFLICT (grant_id, key) DO NOTHING RETURNING id::text"
)
_SETTLE = """
UPDATE charges AS c
   SET state = d.state, captured_nano = d.captured_nano, fee_nano = d.fee_nano, failure = d.failure,
       remaining_nano = coalesce(d.remaining_nano, c.remaining_nano),
       expires_at = coalesce(d.expires_at, c.expires_at), due_at = d.due_at
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],
              $8::timestamptz[], $9::timestamptz[])
       AS d (id, before, state, captured_nano, fee_nano, failure, remaining_nano, expires_at, due_at)
 WHERE c.id = d.id AND c.state = d.before
RETURNING c.*
"""
_FIND_ALL = "SELECT * FROM charges WHERE id = ANY($1::uuid[])"
_FIND_KEY = "SELECT * FROM charges WHERE grant_id = $1 AND key = $2"
_CLAIM = """
UPDATE charges SET state = $3, captured_nano = $4, due_at = $6
 WHERE id = $1 AND state = $2 AND (state = 'requires_capture' OR due_at <= $5) RETURNING *
"""
# What is held under a grant that ended goes back at once; the rest is what nobody was heard of in time. Only
# grants that ended while something can still be held are looked at, and each has few: whatever else there is,
# the search costs the same.
_CLAIM_DUE = """
UPDATE charges SET due_at = $2, state = CASE state WHEN 'requires_capture' THEN 'canceling' ELSE state END
 WHERE id IN (
    SELECT id FROM (
        (SELECT id FROM charges WHERE due_at <= $1 ORDER BY due_at LIMIT $3)
        UNION ALL
        (SELECT c.id FROM grants AS g CROSS JOIN LATERAL (
            SELECT h.id FROM charges AS h WHERE h.grant_id = g.id AND h.state = 'requires_capture' LIMIT $3
          ) AS c WHERE g.revoked_at > $4 LIMIT $3)
    ) AS found LIMIT $3
 ) AND (due_at <= $1 OR state = 'requires_capture') RETURNING *
"""
_LIST = """
SELECT * FROM charges WHERE {column} = $1 AND ($2::uuid IS NULL OR app = $2) AND ($3::uuid IS NULL OR id < $3)
   AND ($4::text[] = '{{}}' OR state = ANY($4)) ORDER BY id DESC LIMIT $5
"""
_LIST_OF_USER = _LIST.format(column="user_id")
_LIST_OF_APP = _LIST.format(column="app")


class PostgresCharges:
    """See the ChargeStore port; `notify` is called after a commit that told something."""

    def __init__(self, database: Database, stories: Stories, notify: Callable[[], None]) -> None:
        self._database = database
        self._stories = stories
        self._notify = notify

    async def add(self, charges: Sequence[Charge]) -> Sequence[bool]:
        """One statement; of several with one key the first is kept."""
        rows = [_row(charge) for charge in charges]
        try:
            async with self._database.driver() as driver:
                kept = {row[0] for row in await driver.fetch(_ADD, *map(list, zip(*rows, strict=True)))}
        except Exception as error:
            raise as_unavailable(error) from error
        return [charge.id in kept for charge in charges]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Charge]:
        """See the port; what another has settled is read as it is."""
        told = [one for one in settlements if is_told(one.before, one.state)]
        try:
            async with self._database.driver_transaction() as driver:
                now = await self._stories.lock_people(driver, {one.user for one in told})
                rows = await driver.fetch(_SETTLE, *_columns(settlements))
                changed = {charge.id: charge for charge in map(charge_of, rows)}
                await self._tell(driver, [one for one in told if one.charge in changed], changed, now)
                missing = [one.charge for one in settlements if one.charge not in changed]
                rows = await driver.fetch(_FIND_ALL, missing) if missing else []
        except Exception as error:
            raise as_unavailable(error) from error
        if told:
            self._notify()
        found = changed | {charge.id: charge for charge in map(charge_of, rows)}
        return [found[one.charge] for one in settlements]

    async def find(self, charge: str) -> Charge | None:
        """By id."""
        return await self._one(_FIND_ALL, [charge])

    async def find_key(self, grant: str, key: str) -> Charge | None:
        """By the unique key."""
        return await self._one(_FIND_KEY, grant, key)

    async def claim(
        self, charge: str, before: State, after: State, captured_nano: int, now: datetime
    ) -> Charge | None:
        """One statement, so that of many at once one gets it."""
        return await self._one(_CLAIM, charge, before, after, captured_nano, now, now + PATIENCE)

    async def claim_due(self, now: datetime, limit: int) -> list[Charge]:
        """See the port; another replica's claim moves `due_at` and is seen."""
        return await self._all(_CLAIM_DUE, now, now + PATIENCE, limit, now - HOLD_TTL - PATIENCE)

    async def list_page(self, query: ChargeQuery) -> list[Charge]:
        """Of a person (served by charges_user), else of an app (charges_app)."""
        values = (query.app, query.after, list(query.states), query.limit)
        if query.user is not None:
            return await self._all(_LIST_OF_USER, query.user, *values)
        return await self._all(_LIST_OF_APP, query.app, *values)

    async def _tell(
        self,
        driver: asyncpg.Connection,
        told: Sequence[Settlement],
        changed: dict[str, Charge],
        now: datetime,
    ) -> None:
        sequences = await self._stories.number(driver, [one.user for one in told])
        stories = []
        for one, sequence in zip(told, sequences, strict=True):
            charge = changed[one.charge]
            event = settled_event(charge, one.before, sequence)
            if event is not None:
                stories.append((event, charge, None))
        await self._stories.tell(driver, stories, now)

    async def _one(self, statement: str, *values: Any) -> Charge | None:
        found = await self._all(statement, *values)
        return found[0] if found else None

    async def _all(self, statement: str, *values: Any) -> list[Charge]:
        try:
            async with self._database.driver() as driver:
                return [charge_of(row) for row in await driver.fetch(statement, *values)]
        except Exception as error:
            raise as_unavailable(error) from error


def _row(charge: Charge) -> tuple[object, ...]:
    return (
        charge.id, charge.app, charge.client_id, charge.grant, charge.user, charge.account, charge.key,
        charge.fingerprint, charge.state, charge.amount_nano, charge.capture, charge.fee_micro,
        charge.description, charge.reference, charge.metadata, charge.created_at, charge.due_at,
    )  # fmt: skip


def _columns(settlements: Sequence[Settlement]) -> list[list[object]]:
    rows: list[tuple[object, ...]] = [
        (
            one.charge, one.before, one.state, one.captured_nano, one.fee_nano, one.failure,
            one.remaining_nano, one.expires_at, one.due_at,
        )
        for one in settlements
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def charge_of(row: Any) -> Charge:
    """A charge from its row."""
    values = dict(row.items())
    for name in ("id", "app", "account"):
        values[name] = str(values[name])
    values["grant"] = str(values.pop("grant_id"))
    values["user"] = str(values.pop("user_id"))
    values["fingerprint"] = bytes(values["fingerprint"])
    return Charge(**values)
