"""The pytest plugin that gives tests real databases and brokers; loaded by the conftest.py of the repository.

Each pytest process (each worker, under pytest-xdist) starts at most one PostgreSQL and one NATS, when a test
first asks, and takes them away with their data at the end. All fixtures are synchronous, so they serve tests
of any loop and any mode of pytest-asyncio.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats
import pytest

from common.testing.clock import FakeClock
from common.testing.nats import EVERYTHING, EmbeddedNats
from common.testing.postgres import EmbeddedPostgres

NATS_ACCOUNTS = 64
OWN_USER = "tollway"

DatabaseFactory = Callable[[str], Awaitable[str]]
"""`await database("chat-relay")` → DSN of a fresh, migrated database of that service, dropped afterwards."""

_databases = itertools.count(1)
_accounts = itertools.cycle(range(NATS_ACCOUNTS))


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A directory of this pytest process for the data of its servers.

    Not pytest's own: that one is of mode 700, and when root runs the tests PostgreSQL runs as somebody else.
    """
    with tempfile.TemporaryDirectory(prefix="tollway-tests-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


@pytest.fixture(scope="session")
def session_postgres(server_dir: Path) -> Iterator[EmbeddedPostgres]:
    """The server behind `database`, shared by all tests of the process: never stop it."""
    server = EmbeddedPostgres(server_dir / "postgres")
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def session_nats(server_dir: Path) -> Iterator[EmbeddedNats]:
    """The server behind `nats_url`, shared by all tests of the process: never stop it."""
    server = EmbeddedNats(server_dir / "nats", test_accounts=NATS_ACCOUNTS)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def _templates() -> set[str]:
    return set()


@pytest.fixture
def database(session_postgres: EmbeddedPostgres, _templates: set[str]) -> Iterator[DatabaseFactory]:
    """See DatabaseFactory. The DSN is of the service's own role; call it again for another database.

    The first call for a service migrates a template, which each database is a copy of.
    """
    created: list[str] = []

    async def create(service: str) -> str:
        package = service.replace("-", "_")
        template = f"template_{package}"
        if package not in _templates:
            # Imported here so that the plugin serves tests of packages that need no migrations.
            from common.kit.migrations import upgrade  # noqa: PLC0415

            session_postgres.drop_database(template)  # half migrated by a test that failed
            session_postgres.ensure_database(template, package)
            await upgrade(session_postgres.dsn(template, package), package)
            _templates.add(package)
        name = f"{package}_{next(_databases)}"
        session_postgres.clone_database(template, name, package)
        created.append(name)
        return session_postgres.dsn(name, package)

    yield create
    for name in created:
        session_postgres.drop_database(name)


@pytest.fixture
def nats_url(session_nats: EmbeddedNats) -> Iterator[str]:
    """The URL, with user and password, of an account with JetStream that no other test has at the time.

    Its streams (and so its key-value and object buckets) are deleted after the test.
    """
    url = session_nats.url(f"test-{next(_accounts)}")
    yield url
    with ThreadPoolExecutor(1) as thread:  # this one may have the test's event loop set
        thread.submit(asyncio.run, _delete_streams(url)).result()


@pytest.fixture
def postgres_server(server_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, started and empty, to be killed and started at will."""
    server = EmbeddedPostgres(Path(tempfile.mkdtemp(dir=server_dir)) / "postgres")
    server.data_dir.parent.chmod(0o711)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def nats_server(server_dir: Path) -> Iterator[EmbeddedNats]:
    """A server of the test's own, to be killed and started at will; its user `tollway` may do everything."""
    server = EmbeddedNats(Path(tempfile.mkdtemp(dir=server_dir)) / "nats", users={OWN_USER: EVERYTHING})
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that only moves when the test moves it."""
    return FakeClock()


async def _delete_streams(url: str) -> None:
    client = await nats.connect(url, allow_reconnect=False)
    try:
        jetstream = client.jetstream()
        while streams := await jetstream.streams_info():  # a page at a time
            for stream in streams:
                await jetstream.delete_stream(stream.config.name or "")
    finally:
        await client.close()
