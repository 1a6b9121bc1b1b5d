"""The services behind the gateway: where they are, and the connections kept alive to them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from common.contracts.errors import UnavailableError, UpstreamError
from common.contracts.routes import Service
from gateway.adapters.http_connection import ServiceConnection
from gateway.domain.errors import AnswerCutError

_CONNECT_TIMEOUT_S = 2.0
_KEEPALIVE_S = 30.0  # below the services' own 75 s, so that no request meets a connection being closed


class _Address:
    """One service: its parts of the URL and its idle connections, the last used first."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.authority = parts.netloc.encode()
        self.path = parts.path.rstrip("/").encode()
        self.idle: list[ServiceConnection] = []


class HttpServices:
    """Sends requests to the services; use it as a context manager.

    `urls` are base URLs; a service that has none is unavailable. At most `concurrency` requests run at a time
    over all services; more wait up to 2 s.
    """

    def __init__(self, urls: Mapping[Service, str], concurrency: int) -> None:
        self._addresses = {service: _Address(url) for service, url in urls.items() if url}
        self._places = asyncio.Semaphore(concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for address in self._addresses.values():
            while address.idle:
                address.idle.pop().abandon()

    async def send(
        self,
        service: Service,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes | AsyncIterator[bytes],
        length: bytes | None,
    ) -> ServiceConnection:
        """See the Services port."""
        address = self._addresses.get(service)
        if address is None:
            raise UnavailableError(f"This installation has no {service} service.")
        parts = [method.encode(), b" ", address.path, target, b" HTTP/1.1\r\nhost: ", address.authority]
        for name, value in headers:
            parts += (b"\r\n", name, b": ", value)
        chunked = False
        if isinstance(body, bytes):
            if body or length is not None:
                parts.append(b"\r\ncontent-length: %d" % len(body))
        elif length is not None:
            parts += (b"\r\ncontent-length: ", length)
        else:
            chunked = True
            parts.append(b"\r\ntransfer-encoding: chunked")
        parts.append(b"\r\n\r\n")
        connection = await self._take(service, address)
        try:
            return await connection.exchange(
                b"".join(parts), body, chunked=chunked, bodiless=method == "HEAD"
            )
        except AnswerCutError as error:
            connection.close()
            raise UpstreamError(f"The {service} service went away before it answered.") from error
        except BaseException:
            connection.close()
            raise

    async def _take(self, service: Service, address: _Address) -> ServiceConnection:
        """A connection that carries nothing, and a place for the exchange, given back at its `close`."""
        try:
            if self._places.locked():
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await self._places.acquire()
            else:
                await self._places.acquire()
        except TimeoutError:
            raise UnavailableError("Too many requests are under way.", retry_after_s=1) from None
        oldest_s = time.monotonic() - _KEEPALIVE_S
        while address.idle:
            connection = address.idle.pop()
            if connection.reusable and connection.idle_since_s > oldest_s:
                return connection
            connection.abandon()
        try:
            return await self._connect(address)
        except (OSError, TimeoutError) as error:
            self._places.release()
            raise UnavailableError(f"The {service} service is away.", retry_after_s=1) from error
        except BaseException:
            self._places.release()
            raise

    async def _connect(self, address: _Address) -> ServiceConnection:
        def give_back(connection: ServiceConnection) -> None:
            self._places.release()
            if connection.reusable:
                connection.idle_since_s = time.monotonic()
                address.idle.append(connection)

        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: ServiceConnection(give_back), address.host, address.port, ssl=address.tls or None
            )
        return connection
