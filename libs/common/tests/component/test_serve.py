"""A service as a process: it starts, says what is wrong, and stops when told to."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from common.testing.server_process import free_port

APP = """
import asyncio
from litestar import Litestar, get
from common.kit.plugin import ServicePlugin

@get("/slow")
async def slow() -> str:
    print("entered", flush=True)
    await asyncio.sleep(0.5)
    return "done"

def create_app(settings):
    return Litestar([slow], plugins=[ServicePlugin("served", settings)], openapi_config=None)
"""
SETTINGS = "from common.kit.settings import ServiceSettings as Settings\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a service `served`, on free ports."""
    package = tmp_path / "served"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "app.py").write_text(APP)
    (package / "settings.py").write_text(SETTINGS)
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "TOLLWAY_PORT": str(free_port()),
        "TOLLWAY_OPS_PORT": str(free_port()),
        "TOLLWAY_NATS_URL": "nats://127.0.0.1:1",
        "TOLLWAY_PRINCIPAL_KEYS": "k1:0123456789abcdef",
    }


async def spawn(environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "common.kit.serve",
        "served",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.fixture
async def service(environ: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service, started and listening."""
    process = await spawn(environ)
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"Uvicorn running" not in await process.stderr.readline():
            assert process.returncode is None
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_service_told_to_stop_finishes_its_answers_and_ends(
    service: asyncio.subprocess.Process, environ: dict[str, str], number: signal.Signals
) -> None:
    assert service.stdout is not None
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environ['TOLLWAY_PORT']}") as client:
        answer = asyncio.create_task(client.get("/slow"))
        assert await service.stdout.readline() == b"entered\n"
        service.send_signal(number)
        assert (await answer).text == "done"
    async with asyncio.timeout(10):
        await service.wait()
    assert service.returncode in (0, -number)


async def test_a_missing_setting_is_one_line(environ: dict[str, str]) -> None:
    del environ["TOLLWAY_NATS_URL"]
    process = await spawn(environ)
    _, told = await process.communicate()
    assert process.returncode == 2
    assert told.decode() == "served: TOLLWAY_NATS_URL is not set\n"


async def test_a_taken_port_of_operations_stops_the_start(
    service: asyncio.subprocess.Process, environ: dict[str, str]
) -> None:
    second = await spawn({**environ, "TOLLWAY_PORT": str(free_port())})
    _, told = await second.communicate()
    assert second.returncode not in (0, None)
    assert b"in use" in told
    assert service.returncode is None
