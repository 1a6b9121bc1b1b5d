"""The services behind the gateway over HTTP: aiohttp's client, the cheapest one measured, on the hot path."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from common.contracts.errors import UnavailableError, UpstreamError
from common.contracts.routes import Service
from gateway.domain.errors import AnswerCutError

_CONNECT_TIMEOUT_S = 2.0
_KEEPALIVE_S = 30.0  # below the services' own 75 s, so that no request meets a connection being closed
_READ_BUFFER_BYTES = 32 * 1024


class _ForwardedRequest(aiohttp.ClientRequest):
    """Has the client's headers and none of the library's own; skipping those one by one costs 10 us."""

    _skip_auto_headers = CIMultiDict({"Content-Type": None})

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Adds nothing."""


class HttpAnswer:
    """An aiohttp response as the Answer port."""

    __slots__ = ("_content", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers: Sequence[tuple[bytes, bytes]] = response.raw_headers

    @property
    def at_end(self) -> bool:
        """Complete and handed out."""
        return self._content.at_eof() and self._content.exception() is None

    def ready(self) -> bytes:
        """What has arrived; raises AnswerCutError."""
        try:
            return self._content.read_nowait(-1)
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerCutError(str(error) or repr(error)) from None

    async def next(self) -> bytes:
        """What arrives next, empty at the end; raises AnswerCutError."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerCutError(str(error) or repr(error)) from None

    def close(self) -> None:
        """Drop the connection unless the answer is complete."""
        self._response.close()


class HttpServices:
    """Connections to the services, kept alive and shared by all requests; use it as a context manager.

    `urls` are base URLs; a service that has none is unavailable. `connections` bounds them all together.
    """

    def __init__(self, urls: Mapping[Service, str], connections: int) -> None:
        self._urls = {service: url.rstrip("/") for service, url in urls.items() if url}
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._url = lru_cache(1024)(self._build_url)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=10
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_ForwardedRequest,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT_S),
            read_bufsize=_READ_BUFFER_BYTES,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        service: Service,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> HttpAnswer:
        """See the Services port."""
        if self._session is None or service not in self._urls:
            raise UnavailableError(f"This installation has no {service} service.")
        try:
            response = await self._session.request(
                method,
                self._url(service, target),
                headers=CIMultiDict(headers),
                data=body,
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnavailableError(f"The {service} service is away.", retry_after_s=1) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"The {service} service went away before it answered.") from error
        return HttpAnswer(response)

    def _build_url(self, service: Service, target: str) -> URL:
        # Encoded: the path goes on as the client wrote it, dots, slashes and escapes included.
        return URL(self._urls[service] + target, encoded=True)
