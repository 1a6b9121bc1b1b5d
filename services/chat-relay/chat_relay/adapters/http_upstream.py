"""HTTP to upstreams: aiohttp's client, the only place that knows it.

Measured on this path: httpx costs about ten times the CPU per request, which is why the hot path has a client
of its own.
"""

import asyncio
import io
from collections.abc import Iterable
from functools import partial

import aiohttp
import aiohttp.client_proto
import aiohttp.http_exceptions
from multidict import CIMultiDict
from yarl import URL

from chat_relay.domain.errors import UpstreamGoneError, UpstreamTimeoutError
from chat_relay.domain.ports import RawHeaders
from common.contracts.errors import UpstreamError

_READ_BUFFER_BYTES = 64 * 1024
_KEEP_ALIVE_S = 15
_DRAIN_S = 1
_LARGE_BODY_BYTES = 2**20  # from here on aiohttp wants a file, which it sends in pieces


class _Handler(aiohttp.client_proto.ResponseHandler):
    """aiohttp resumes the transport and the parser after every chunk read, paused or not, which is a tenth
    of a stream's cost; nothing is left to resume when nothing was paused.
    """

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  aiohttp's
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Request(aiohttp.ClientRequest):
    """Sends the headers it is given and none of aiohttp's own."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Nothing: the client's headers are forwarded as they are."""


class HttpAnswer:
    """One response; its connection goes back to the pool when the body was read to its end."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: RawHeaders = list(response.raw_headers)

    async def read(self) -> bytes:
        """See `Answer.read`."""
        try:
            return await self._response.content.readany()
        except aiohttp.SocketTimeoutError:
            self.abort()
            raise UpstreamTimeoutError("The upstream fell silent in the middle of its answer.") from None
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError):
            self.abort()
            raise UpstreamGoneError("The upstream broke off in the middle of its answer.") from None

    async def read_all(self, limit_bytes: int) -> bytes:
        """See `Answer.read_all`."""
        body = first = await self.read()
        if self._response.content.at_eof():
            return first
        pieces = [first]
        size = len(first)
        while body:
            body = await self.read()
            pieces.append(body)
            size += len(body)
            if size > limit_bytes:
                self.abort()
                raise UpstreamGoneError(f"The upstream's answer is over {limit_bytes // 2**20} MiB.")
        return b"".join(pieces)

    async def finish(self) -> None:
        """See `Answer.finish`; waits a second at most."""
        content = self._response.content
        if content.at_eof():
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await self.read():
                    pass
        except (UpstreamError, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """See `Answer.abort`."""
        self._response.close()


class HttpUpstream:
    """A pool of connections without cookies, redirects, proxies or a limit of its own."""

    def __init__(self, connect_timeout_s: float, first_byte_timeout_s: float, read_timeout_s: float) -> None:
        self._read_timeout_s = read_timeout_s
        self._addresses: dict[str, URL] = {}
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=_KEEP_ALIVE_S)
        connector._factory = partial(  # type: ignore[assignment]  # noqa: SLF001  there is no public way
            _Handler, loop=asyncio.get_running_loop()
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout_s, sock_read=first_byte_timeout_s
            ),
            request_class=_Request,
            read_bufsize=_READ_BUFFER_BYTES,
            trust_env=False,
        )

    async def post(self, url: str, headers: list[tuple[str, str]], body: bytes) -> HttpAnswer:
        """See `Upstream.post`."""
        address = self._addresses.get(url)
        if address is None:
            address = URL(url, encoded=True)
            if not address.raw_query_string:
                self._addresses[url] = address
        try:
            response = await self._session.post(
                address,
                data=body if len(body) <= _LARGE_BODY_BYTES else io.BytesIO(body),
                headers=CIMultiDict(headers),
                allow_redirects=False,
            )
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamError("The upstream could not be reached in time.") from None
        except (aiohttp.SocketTimeoutError, TimeoutError):
            raise UpstreamTimeoutError("The upstream did not answer in time.") from None
        except aiohttp.ClientConnectorError:
            raise UpstreamError("The upstream cannot be reached.") from None
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError):
            raise UpstreamGoneError("The upstream closed the connection without an answer.") from None
        connection = response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = self._read_timeout_s
            connection.protocol.start_timeout()  # what came with the headers started the longer one
        return HttpAnswer(response)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
