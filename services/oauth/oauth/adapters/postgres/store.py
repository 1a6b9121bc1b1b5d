"""One transaction over everything of this service, with the events that are published when it commits."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.contracts.errors import UnavailableError
from common.contracts.oauth import OAuthEvent
from common.contracts.streams import event_subject
from common.kit.db import Database, is_transient
from common.kit.outbox import OutboxEvent, append
from oauth.adapters.postgres.apps import KnownApps, PostgresApps, find_apps
from oauth.adapters.postgres.exchanges import PostgresExchanges
from oauth.adapters.postgres.grants import PostgresGrants, PostgresPeople
from oauth.adapters.postgres.requests import PostgresRequests
from oauth.adapters.postgres.tokens import PRUNES, PostgresTokens, find_live_tokens, prune_times
from oauth.domain.apps import App
from oauth.domain.ports import Apps, Grants, People, Requests, Tokens
from oauth.domain.tokens import LiveToken

PLANNER = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
"""Settings of the service's connections: every row is found by an index. Left to itself the planner reads all
of a table while that is small, and a prepared statement keeps to that when it has grown.
"""
_NEXT = "UPDATE people SET event_sequence = event_sequence + 1 WHERE user_id = $1 RETURNING event_sequence"
_USE_PROOF = (
    "INSERT INTO used_proofs (digest, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
)
_FAILURES = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class PostgresTransaction:
    """See the OAuthTransaction port; `connection` serves the tables of the features too, `driver` is the
    same connection without SQLAlchemy.
    """

    def __init__(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        self.connection = connection
        self._driver = driver
        self.apps: Apps = PostgresApps(connection)
        self.people: People = PostgresPeople(connection)
        self.grants: Grants = PostgresGrants(connection)
        self.requests: Requests = PostgresRequests(connection)
        self.tokens: Tokens = PostgresTokens(driver)
        self.events: list[OAuthEvent] = []

    async def use_proof(self, digest: bytes, expires_at: datetime) -> bool:
        """False when it was used before; the primary key decides between two at once."""
        return bool(await self._driver.fetchval(_USE_PROOF, digest, expires_at))

    async def next_sequence(self, user: str) -> int:
        """As the function."""
        return await next_sequence(self._driver, user)

    def record(self, event: OAuthEvent) -> None:
        """Written to the outbox at the end of the transaction."""
        self.events.append(event)


class PostgresStore:
    """See the Store port; `notify` is called after a commit that appended events."""

    def __init__(self, database: Database, notify: Callable[[], None]) -> None:
        self._database = database
        self._autocommit = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._notify = notify
        self._known_apps = KnownApps()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Commits when the block ends; UnavailableError when the database is away."""
        try:
            async with self._mixed_transaction() as (connection, driver):
                work = PostgresTransaction(connection, driver)
                yield work
                await append(connection, [_outbox_event(event) for event in work.events])
        except _FAILURES as error:
            raise as_unavailable(error) from error
        if work.events:
            self._notify()

    async def find_apps(self, client_ids: Sequence[str]) -> Sequence[App | None]:
        """One query and no transaction around it."""
        async with self._driver() as driver:
            return await find_apps(driver, self._known_apps, client_ids)

    @asynccontextmanager
    async def exchanging(self) -> AsyncIterator[PostgresExchanges]:
        """On one connection."""
        async with self._driver() as driver:
            yield PostgresExchanges(driver)

    async def use_proof(self, digest: bytes, expires_at: datetime) -> bool:
        """One statement, which is its own transaction."""
        async with self._driver() as driver:
            return bool(await driver.fetchval(_USE_PROOF, digest, expires_at))

    async def find_token(self, digest: bytes, now: datetime) -> LiveToken | None:
        """As several."""
        return (await self.find_tokens([digest], now))[0]

    async def find_tokens(self, digests: Sequence[bytes], now: datetime) -> Sequence[LiveToken | None]:
        """One query and no transaction around it."""
        async with self._driver() as driver:
            return await find_live_tokens(driver, self._known_apps, digests, now)

    async def prune(self, now: datetime) -> None:
        """Delete what ended long ago."""
        for statement in PRUNES:
            await self._database.delete(statement, prune_times(now))

    @asynccontextmanager
    async def _mixed_transaction(self) -> AsyncIterator[tuple[AsyncConnection, asyncpg.Connection]]:
        """Begun by asyncpg, so that both have part in it."""
        async with self._autocommit.connect() as connection:
            driver: asyncpg.Connection = (await connection.get_raw_connection()).driver_connection
            try:
                async with driver.transaction():
                    yield connection, driver
            except BaseException as error:
                broken = isinstance(error, asyncpg.InternalClientError)
                if broken or driver.is_closed() or driver.is_in_transaction():
                    await connection.invalidate()
                raise

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._database.driver() as driver:
                yield driver
        except _FAILURES as error:
            raise as_unavailable(error) from error


async def next_sequence(driver: asyncpg.Connection, user: str) -> int:
    """The next number of the person's gap-free sequence, taken back when the transaction is; whoever wants
    one too waits for its end.
    """
    number: int = await driver.fetchval(_NEXT, user)
    return number


def as_unavailable(error: Exception) -> Exception:
    """UnavailableError for a database that is away, the error itself for what is wrong with us."""
    if isinstance(error, TimeoutError | OSError) or is_transient(error):
        return UnavailableError("The database is away.", retry_after_s=1)
    return error


def _outbox_event(event: OAuthEvent) -> OutboxEvent:
    tag = str(type(event).__struct_config__.tag)
    return OutboxEvent(event.id, event_subject(tag, event.user), event.sequence, msgspec.json.encode(event))
