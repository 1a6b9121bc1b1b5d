"""The gate to addresses that customers name: HTTP to the public internet and to nothing of ours (SSRF).

The address is checked at the very socket that is about to connect to it. So there is nothing between check
and use: no second resolution that could answer otherwise (DNS rebinding), no spelling of an address that a
parser reads differently, no redirect (none is followed), no proxy of the environment (none is used).
"""

import errno
import ipaddress
import socket
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver

MAX_ANSWER_BYTES = 64 * 1024
FORBIDDEN = "the address is not of the public internet"
_HEADERS = {"user-agent": "Tollway-Webhooks/1"}
# What Python does not know to be special everywhere, and addresses that stand for another one: what they lead
# to is not what they look like.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "2001::/23",  # protocol assignments, RFC 2928: Teredo and others
        "2002::/16",  # 6to4, RFC 3056 section 2
        "3fff::/20",  # documentation, RFC 9637
    )
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""RFC 4291 section 2.4. Outside lie IPv4-mapped and -compatible, NAT64, unique local, site-local and more."""


class ForbiddenAddressError(OSError):
    """The name leads to an address that is not of the public internet."""


def is_public(address: str) -> bool:
    """Whether a textual IP address is a unicast one of the public internet and stands for no other address.

    By the IANA special-purpose registries as Python knows them: private, shared, loopback, link-local (and so
    the clouds' metadata), documentation, benchmarking and reserved ones are not.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # with a zone, which only link-local ones have
        return False
    if any(ip.version == network.version and ip in network for network in _SPECIAL):
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


class OutboundHttp:
    """A client for such addresses; use it as a context manager. `resolver` is for tests.

    `allow_loopback` lets loopback pass besides, for development and tests.
    """

    def __init__(
        self, timeout_s: float, *, allow_loopback: bool, resolver: AbstractResolver | None = None
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._allow_loopback = allow_loopback
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,  # callers bound what they have under way; a slow receiver takes no place from others
            use_dns_cache=False,
            resolver=self._resolver,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """The status and the Retry-After header of the answer, of whose body 64 kB are read and dropped.

        Raises aiohttp.ClientError (forbidden addresses among them), TimeoutError, OSError or ValueError.
        """
        if self._session is None:
            raise RuntimeError("OutboundHttp is used as a context manager")
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if await _is_longer(answer.content, MAX_ANSWER_BYTES):
                answer.close()
            return answer.status, answer.headers.get("retry-after", "")

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, target = address
        if not (is_public(target[0]) or (self._allow_loopback and _is_loopback(target[0]))):
            raise ForbiddenAddressError(errno.EACCES, FORBIDDEN)
        return socket.socket(family, kind, protocol)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


async def _is_longer(content: aiohttp.StreamReader, limit: int) -> bool:
    """Whether more than `limit` bytes come; they are read and dropped up to there."""
    seen = 0
    while chunk := await content.read(min(limit + 1 - seen, 16_384)):
        seen += len(chunk)
        if seen > limit:
            return True
    return False
