"""What the service's probes say, with real PostgreSQL and NATS behind them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from common.testing.nats import EmbeddedNats
from common.testing.plugin import DatabaseFactory
from common.testing.server_process import free_port
from oauth.app import create_app
from oauth.settings import Settings


@asynccontextmanager
async def running_service(
    database: DatabaseFactory, broker: EmbeddedNats
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the ops port of the running service."""
    settings = Settings(
        port=free_port(),
        ops_port=free_port(),
        database_url=await database("oauth"),
        nats_url=broker.url("tollway"),
        principal_keys="k1:" + "s" * 32,
        replica="oauth-0",
        issuer="http://127.0.0.1:8080",
        token_pepper="pepper-for-the-tests",
        secret_key="secret-key-for-the-tests",
    )
    async with (
        create_app(settings).lifespan(),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.ops_port}") as client,
    ):
        yield client


async def test_it_is_ready_when_postgres_and_nats_answer(
    database: DatabaseFactory, nats_server: EmbeddedNats
) -> None:
    async with running_service(database, nats_server) as probes:
        answer = await probes.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"] == {"startup": "ok", "postgres": "ok", "nats": "ok"}
        assert "process_resident_memory_bytes" in (await probes.get("/metrics")).text


async def test_it_is_alive_and_unready_when_nats_is_gone(
    database: DatabaseFactory, nats_server: EmbeddedNats
) -> None:
    async with running_service(database, nats_server) as probes:
        nats_server.kill()
        answer = await probes.get("/readyz")
        assert answer.status_code == 503
        checks = answer.json()["checks"]
        assert checks.pop("nats") != "ok"
        assert checks == {"startup": "ok", "postgres": "ok"}
        assert (await probes.get("/healthz")).status_code == 200
