"""One transaction over people, keys and groups, with the events that are published when it commits."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.contracts.identity import IdentityEvent
from common.contracts.streams import event_subject
from common.kit.db import Database
from common.kit.outbox import OutboxEvent, append
from gateway.adapters.postgres.failures import as_unavailable
from gateway.adapters.postgres.groups import PostgresGroups
from gateway.adapters.postgres.keys import PostgresKeys
from gateway.adapters.postgres.memberships import PostgresMemberships
from gateway.adapters.postgres.sessions import PostgresFailures, PostgresSessions
from gateway.adapters.postgres.users import PostgresUsers
from gateway.domain.ports import Failures, Groups, Keys, Memberships, Sessions, Users

_NEXT = text("UPDATE users SET event_sequence = event_sequence + 1 WHERE id = :id RETURNING event_sequence")


class PostgresIdentityTransaction:
    """See the IdentityTransaction port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.users: Users = PostgresUsers(connection)
        self.keys: Keys = PostgresKeys(connection)
        self.groups: Groups = PostgresGroups(connection)
        self.memberships: Memberships = PostgresMemberships(connection)
        self.sessions: Sessions = PostgresSessions(connection)
        self.failures: Failures = PostgresFailures(connection)
        self.events: list[IdentityEvent] = []

    async def next_sequence(self, user: str) -> int:
        """Gap-free: the number is taken back when the transaction is."""
        result = await self._connection.execute(_NEXT, {"id": user})
        return int(result.scalar_one())

    def record(self, event: IdentityEvent) -> None:
        """Written to the outbox at the end of the transaction."""
        self.events.append(event)


class PostgresIdentity:
    """See the Identity port; `committed` is called with the events of each transaction that had some."""

    def __init__(self, database: Database, committed: Callable[[Sequence[IdentityEvent]], None]) -> None:
        self._database = database
        self._committed = committed

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresIdentityTransaction]:
        """Commits when the block ends; UnavailableError when the database is away."""
        try:
            async with self._database.transaction() as connection:
                work = PostgresIdentityTransaction(connection)
                yield work
                await append(connection, [_outbox_event(event) for event in work.events])
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise as_unavailable(error) from error
        if work.events:
            self._committed(work.events)


def _outbox_event(event: IdentityEvent) -> OutboxEvent:
    tag = str(type(event).__struct_config__.tag)
    return OutboxEvent(event.id, event_subject(tag, event.user), event.sequence, msgspec.json.encode(event))
