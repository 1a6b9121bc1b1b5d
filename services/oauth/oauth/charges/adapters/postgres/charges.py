"""The table of charges, written a batch at a time by array statements.

Lock order: charges, people (by id). Events of one person are appended while that person's row is locked.

Who must be looked at when stands in `charges_due`, a row for each `charges.due_at`: an index would have every
charge written into all indexes a second time when it is settled. Whoever changes `due_at` adds the new row
and removes the old one. Of two at once one may miss the other's; the sweep removes what is out of date.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from common.kit.db import Database
from oauth.adapters.postgres.store import as_unavailable
from oauth.charges.adapters.postgres.stories import Stories, Story
from oauth.charges.domain.charges import HOLD_TTL, PATIENCE, Charge, ChargeQuery, Settlement, State
from oauth.charges.domain.events import settled_event

_WRITTEN = (
    ("id", "uuid"), ("app", "uuid"), ("client_id", "text"), ("grant_id", "uuid"), ("user_id", "uuid"),
    ("account", "uuid"), ("key", "text"), ("fingerprint", "bytea"), ("amount_nano", "bigint"),
    ("capture", "boolean"), ("fee_micro", "integer"), ("description", "text"), ("reference", "text"),
    ("metadata", "text"), ("created_at", "timestamptz"), ("due_at", "timestamptz"),
)  # fmt: skip
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(_WRITTEN, 1))
_ADD = (
    f"WITH added AS (INSERT INTO charges ({', '.join(name for name, _ in _WRITTEN)}, state)"  # noqa: S608
    f" SELECT *, 'opening' FROM unnest({_ARRAYS})"
    " ON CONFLICT (grant_id, key) DO NOTHING RETURNING id, due_at"
    "), due AS (INSERT INTO charges_due (due_at, charge) SELECT due_at, id FROM added)"
    " SELECT id::text FROM added"
)
# What was settled, with its line in the app's statement, the numbers of the events that are told of it, and
# who listens. Each row says what it is: a charge that was settled, a person and the last number of theirs, an
# app with a webhook.
_SETTLE = """
WITH settled AS (
    UPDATE charges AS c
       SET state = d.state, captured_nano = d.captured_nano, fee_nano = d.fee_nano, failure = d.failure,
           remaining_nano = coalesce(d.remaining_nano, c.remaining_nano),
           expires_at = coalesce(d.expires_at, c.expires_at), due_at = d.due_at
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],
                  $8::timestamptz[], $9::timestamptz[]) AS d (id, before, state, captured_nano, fee_nano,
                  failure, remaining_nano, expires_at, due_at)
     WHERE c.id = d.id AND c.state = d.before
    RETURNING c.*, old.due_at AS was_due
), undue AS (
    DELETE FROM charges_due AS q USING settled AS s WHERE q.due_at = s.was_due AND q.charge = s.id
), due AS (
    INSERT INTO charges_due (due_at, charge, held_by, held_for)
    SELECT due_at, id, CASE state WHEN 'requires_capture' THEN grant_id END,
           CASE state WHEN 'requires_capture' THEN app END FROM settled
     WHERE due_at IS NOT NULL
), entered AS (
    INSERT INTO app_entries (app, kind, object, charge, amount_nano, fee_nano, reference, posted_at)
    SELECT app, 'charge', id, id, captured_nano, fee_nano, reference, $11 FROM settled
     WHERE state = 'succeeded'
), numbered AS (
    UPDATE people AS p SET event_sequence = p.event_sequence + n.count
      FROM (SELECT user_id, count(*) FROM settled WHERE state IN ('succeeded', 'canceled', 'expired')
             GROUP BY user_id ORDER BY user_id) AS n
     WHERE p.user_id = n.user_id RETURNING p.user_id, p.event_sequence
)
SELECT 'charge', id::text, 0 FROM settled
UNION ALL SELECT 'person', user_id::text, event_sequence FROM numbered
UNION ALL SELECT 'app', app::text, 0 FROM app_webhooks WHERE app = ANY($10::uuid[]) AND enabled
"""
COLUMNS = (
    "id::text, app::text, client_id, grant_id::text, user_id::text, account::text, key, fingerprint, state,"
    " amount_nano, capture, fee_micro, description, reference, metadata, captured_nano, refunded_nano,"
    " refunding_nano, fee_nano, remaining_nano, failure, created_at, expires_at, due_at"
)
"""What `charge_of` reads."""
_FIELDS = tuple(
    {"grant_id": "grant", "user_id": "user"}.get(name, name)
    for name in COLUMNS.replace("::text", "").split(", ")
)
_FIND_ALL = f"SELECT {COLUMNS} FROM charges WHERE id = ANY($1::uuid[])"  # noqa: S608
_FIND_KEY = f"SELECT {COLUMNS} FROM charges WHERE grant_id = $1 AND key = $2"  # noqa: S608
_CLAIM = f"""
WITH claimed AS (
    UPDATE charges SET state = $3, captured_nano = $4, due_at = $6
     WHERE id = $1 AND state = $2 AND (state = 'requires_capture' OR due_at <= $5)
    RETURNING charges.*, old.due_at AS was_due
), undue AS (
    DELETE FROM charges_due AS q USING claimed AS c WHERE q.due_at = c.was_due AND q.charge = c.id
), due AS (
    INSERT INTO charges_due (due_at, charge) SELECT due_at, id FROM claimed
)
SELECT {COLUMNS} FROM claimed
"""  # noqa: S608
# What is held under a grant that ended, or for an app that is disabled, goes back at once; the rest is what
# nobody was heard of in time. Only grants and apps that ended while something can still be held are looked
# at: whatever else there is, the search costs the same.
_CLAIM_DUE = f"""
WITH found AS (
    (SELECT due_at, charge FROM charges_due WHERE due_at <= $1 ORDER BY due_at LIMIT $3)
    UNION ALL
    (SELECT h.due_at, h.charge FROM (
        SELECT id FROM grants WHERE revoked_at > $4
        UNION SELECT id FROM grants WHERE expires_at > $4 AND expires_at <= $1
      ) AS g CROSS JOIN LATERAL (
        SELECT due_at, charge FROM charges_due WHERE held_by = g.id LIMIT $3
      ) AS h LIMIT $3)
    UNION ALL
    (SELECT h.due_at, h.charge FROM apps AS a CROSS JOIN LATERAL (
        SELECT due_at, charge FROM charges_due WHERE held_for = a.id LIMIT $3
      ) AS h WHERE a.disabled_at > $4 LIMIT $3)
), claimed AS (
    UPDATE charges AS c
       SET due_at = $2, state = CASE c.state WHEN 'requires_capture' THEN 'canceling' ELSE c.state END
      FROM (SELECT DISTINCT charge FROM found) AS f
     WHERE c.id = f.charge AND (c.due_at <= $1 OR c.state = 'requires_capture')
    RETURNING c.*, old.due_at AS was_due
), undue AS (
    DELETE FROM charges_due AS q
     USING (SELECT due_at, charge FROM found WHERE due_at <= $1
            UNION SELECT was_due, id FROM claimed) AS o
     WHERE q.due_at = o.due_at AND q.charge = o.charge
), due AS (
    INSERT INTO charges_due (due_at, charge) SELECT due_at, id FROM claimed
)
SELECT {COLUMNS} FROM claimed
"""  # noqa: S608
_LIST = (
    f"SELECT {COLUMNS} FROM charges WHERE {{column}} = $1 AND ($2::uuid IS NULL OR app = $2)"  # noqa: S608
    " AND ($3::uuid IS NULL OR charges.id < $3) AND ($4::text[] = '{{}}' OR state = ANY($4))"
    " ORDER BY charges.id DESC LIMIT $5"
)
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
        ordered = sorted(settlements, key=lambda one: one.charge.id)
        try:
            async with self._database.driver_transaction() as driver:
                found = await self._settle(driver, ordered)
                missing = [one.charge.id for one in ordered if one.charge.id not in found]
                if missing:
                    found |= {row[0]: charge_of(row) for row in await driver.fetch(_FIND_ALL, missing)}
        except Exception as error:
            raise as_unavailable(error) from error
        if any(one.is_told for one in settlements):
            self._notify()
        return [found[one.charge.id] for one in settlements]

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

    async def _settle(
        self, driver: asyncpg.Connection, settlements: Sequence[Settlement]
    ) -> dict[str, Charge]:
        """Those that were not settled by another, as they are now."""
        told = [one for one in settlements if one.is_told]
        columns = map(list, zip(*map(_values, settlements), strict=True))
        answered: dict[str, dict[str, int]] = {"charge": {}, "person": {}, "app": {}}
        apps = list({one.charge.app for one in told})
        for kind, id_, number in await driver.fetch(_SETTLE, *columns, apps, self._stories.now()):
            answered[kind][id_] = number
        changed = {one.charge.id: one.after() for one in settlements if one.charge.id in answered["charge"]}
        told = [one for one in told if one.charge.id in changed]
        counts = Counter(one.charge.user for one in told)
        last = {user: number - counts[user] for user, number in answered["person"].items()}
        stories: list[Story] = []
        for one in told:
            last[one.charge.user] += 1
            charge = changed[one.charge.id]
            stories.append((settled_event(charge, one.charge.state, last[charge.user]), charge, None))
        await self._stories.tell(driver, stories, answered["app"])
        return changed

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
        charge.fingerprint, charge.amount_nano, charge.capture, charge.fee_micro, charge.description,
        charge.reference, charge.metadata, charge.created_at, charge.due_at,
    )  # fmt: skip


def _values(one: Settlement) -> tuple[object, ...]:
    return (
        one.charge.id, one.charge.state, one.state, one.captured_nano, one.fee_nano, one.failure,
        one.remaining_nano, one.expires_at, one.due_at,
    )  # fmt: skip


def charge_of(row: Any) -> Charge:
    """A charge from a row of COLUMNS."""
    return Charge(**dict(zip(_FIELDS, row, strict=True)))
