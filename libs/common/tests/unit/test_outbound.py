"""The gate to addresses that customers name."""

import socket
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from common.webhooks.outbound import OutboundHttp, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  an address to refuse
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "localhost",
        "",
    ],
)
def test_what_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
)
def test_the_public_internet_is_reached(address: str) -> None:
    assert is_public(address)


class FakeResolver(AbstractResolver):
    """Answers each question with the next address, the last one for ever."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.questions = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:  # noqa: ARG002
        self.questions += 1
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing to close."""


class Inside:
    """A server of ours that must not be reached."""

    def __init__(self) -> None:
        self.hits = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._hit)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _hit(self, _request: web.Request) -> web.Response:
        self.hits += 1
        return web.Response(text="secret", headers={"Retry-After": "7"})


@pytest.mark.parametrize("name", ["rebind.example", "127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_name_that_turns_inward_after_it_was_checked_is_refused(name: str) -> None:
    resolver = FakeResolver("127.0.0.1")
    async with Inside() as inside, OutboundHttp(5, allow_loopback=False, resolver=resolver) as http:
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError, match="not of the public internet"):
                await http.post(f"http://{name}:{inside.port}/", {}, b"{}")
        assert inside.hits == 0


async def test_every_connection_is_resolved_and_checked_anew() -> None:
    resolver = FakeResolver("127.0.0.1", "10.0.0.1")
    async with Inside() as inside, OutboundHttp(5, allow_loopback=True, resolver=resolver) as http:
        url = f"http://rebind.example:{inside.port}/"
        assert await http.post(url, {"connection": "close"}, b"{}") == (200, "7")
        with pytest.raises(aiohttp.ClientConnectorError, match="not of the public internet"):
            await http.post(url, {}, b"{}")
        assert (inside.hits, resolver.questions) == (1, 2)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Inside() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with OutboundHttp(5, allow_loopback=False, resolver=FakeResolver("10.0.0.1")) as http:
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.post("http://example.com/", {}, b"{}")
        assert proxy.hits == 0
