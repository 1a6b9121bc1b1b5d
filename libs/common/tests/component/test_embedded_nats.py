"""The embedded NATS: who may say and hear what, and what a crash keeps."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import psutil
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from common.testing import plugin
from common.testing.nats import EmbeddedNats, NatsPermissions
from common.testing.server_process import ServerError

USERS = {
    "speaker": NatsPermissions(publish=("news.>",), subscribe=("_INBOX.>",)),
    "answerer": NatsPermissions(publish=(), subscribe=("news.>",), allow_responses=True),
    "mute": NatsPermissions(publish=(), subscribe=()),
}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[Client, asyncio.Queue[str]]]:
    """A client and the errors the server tells it."""
    errors: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        await errors.put(str(error))

    client = await nats.connect(url, error_cb=note, allow_reconnect=False)
    try:
        yield client, errors
    finally:
        await client.close()


async def refusal(errors: asyncio.Queue[str]) -> str:
    """What the server says it refused: publish or subscription."""
    words = (await asyncio.wait_for(errors.get(), 5)).lower()
    return words.partition("permissions violation for ")[2].split()[0]


@pytest.fixture
def permitting(server_dir: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(server_dir / "permitting", users=USERS)
    server.start()
    yield server
    server.remove()


async def test_it_answers_with_jetstream_and_eight_megabytes_a_message(nats_server: EmbeddedNats) -> None:
    async with connected(nats_server.url("tollway")) as (client, _):
        assert client.max_payload == 8 * 1024 * 1024
        await client.jetstream().add_stream(name="S", subjects=["s.>"])
        assert (await client.jetstream().publish("s.1", b"x")).seq == 1


def test_it_admits_nobody_without_the_password(nats_server: EmbeddedNats) -> None:
    for credentials in (b"{}", b'{"user":"tollway","pass":"guess"}'):
        with socket.create_connection(("127.0.0.1", nats_server.port), timeout=5) as client:
            client.sendall(b"CONNECT " + credentials + b"\r\nPING\r\n")
            answer = client.makefile("rb").read()
        assert b"-ERR 'Authorization Violation'" in answer
        assert b"PONG" not in answer


def test_passwords_and_configuration_are_readable_by_their_owner_alone(nats_server: EmbeddedNats) -> None:
    for name in ("passwords.json", "nats.conf", "server.log"):
        assert stat.S_IMODE((nats_server.data_dir / name).stat().st_mode) == 0o600
    password = nats_server.url("tollway").split(":")[2].split("@")[0]
    assert password not in nats_server.log_path.read_text()


async def test_a_user_speaks_and_hears_only_what_the_table_allows(permitting: EmbeddedNats) -> None:
    async with (
        connected(permitting.url("speaker")) as (speaker, speaker_errors),
        connected(permitting.url("answerer")) as (answerer, answerer_errors),
        connected(permitting.url("mute")) as (mute, mute_errors),
    ):
        requests = await answerer.subscribe("news.today")
        await answerer.flush()
        await answerer.flush()  # nats-py overtakes its own buffer with the first
        pending = asyncio.ensure_future(speaker.request("news.today", b"?", timeout=5))
        await (await requests.next_msg(5)).respond(b"!")
        assert (await pending).data == b"!"

        await speaker.publish("other", b"")
        assert (
            "permissions violation for publish" in (await asyncio.wait_for(speaker_errors.get(), 5)).lower()
        )
        await answerer.publish("news.today", b"")
        assert (
            "permissions violation for publish" in (await asyncio.wait_for(answerer_errors.get(), 5)).lower()
        )
        await mute.publish("news.today", b"")
        assert await refusal(mute_errors) == "publish"
        await mute.subscribe("news.>")
        assert (
            "permissions violation for subscription" in (await asyncio.wait_for(mute_errors.get(), 5)).lower()
        )


async def test_two_test_accounts_see_nothing_of_each_other(session_nats: EmbeddedNats) -> None:
    async with (
        connected(session_nats.url("test-0")) as (one, _),
        connected(session_nats.url("test-1")) as (other, _),
    ):
        heard = await other.subscribe(">")
        await other.flush()
        await one.publish("news", b"of one")
        await one.jetstream().add_stream(name="S", subjects=["s.>"])
        await one.flush()
        await other.publish("own", b"of other")
        assert (await heard.next_msg(5)).subject == "own"
        with pytest.raises(NotFoundError):
            await other.jetstream().stream_info("S")
        await one.jetstream().delete_stream("S")


async def test_streams_and_buckets_of_an_account_are_deleted_after_a_test(nats_url: str) -> None:
    async with connected(nats_url) as (client, _):
        for number in range(3):
            await client.jetstream().add_stream(name=f"S{number}", subjects=[f"s{number}.>"])
        await client.jetstream().create_key_value(bucket="state")
        await plugin._delete_streams(nats_url)
        assert await client.jetstream().streams_info() == []


async def test_what_jetstream_acknowledged_survives_sigkill(nats_server: EmbeddedNats) -> None:
    async with connected(nats_server.url("tollway")) as (client, _):
        await client.jetstream().add_stream(name="S", subjects=["s.>"])
        for number in range(200):
            await client.jetstream().publish("s.x", str(number).encode())
        server = psutil.Process(nats_server.pid)
        nats_server.kill()
    assert not server.is_running()
    assert not nats_server.running
    nats_server.start()
    async with connected(nats_server.url("tollway")) as (client, _):
        assert (await client.jetstream().stream_info("S")).state.messages == 200


def test_stop_leaves_no_process_and_keeps_url_and_password(nats_server: EmbeddedNats) -> None:
    server = psutil.Process(nats_server.pid)
    url = nats_server.url("tollway")
    nats_server.stop()
    nats_server.stop()
    assert not server.is_running()
    nats_server.start()
    assert nats_server.url("tollway") == url


def test_a_taken_port_is_one_clear_line(server_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        server = EmbeddedNats(server_dir / "taken", port)
        with pytest.raises(ServerError) as refusal:
            server.start()
    server.remove()
    assert str(refusal.value) == f"NATS cannot listen: port {port} of 127.0.0.1 is taken"
