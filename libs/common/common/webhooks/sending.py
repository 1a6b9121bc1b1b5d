"""Sends signed webhooks (see deliverer.Send)."""

import logging

import aiohttp

from common.webhooks.attempts import Outcome
from common.webhooks.outbound import FORBIDDEN, OutboundHttp

TIMEOUT_S = 10.0
_OK = range(200, 300)
_MOVED = range(300, 400)
_LOG = logging.getLogger(__name__)


class HttpWebhooks:
    """POSTs deliveries through the gate."""

    def __init__(self, http: OutboundHttp, content_type: str) -> None:
        self._http = http
        self._content_type = content_type

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """One attempt; whatever the receiver does is an Outcome."""
        try:
            answer = await self._http.post(url, headers | {"content-type": self._content_type}, body)
        except TimeoutError:
            return Outcome(None, f"no answer within {TIMEOUT_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            _LOG.info("webhooks: %s: %r", url, error)
            return Outcome(None, _words(error))
        status, retry_after = answer
        if status in _OK:
            return Outcome(status)
        if status in _MOVED:
            return Outcome(status, f"answered {status}; redirects are not followed")
        return Outcome(status, f"answered {status}", retry_after)


def _words(error: Exception) -> str:
    """What may be shown to the endpoint's owner: nothing that maps networks of ours."""
    if FORBIDDEN in str(error):
        return FORBIDDEN
    if isinstance(error, (aiohttp.InvalidURL, ValueError)):
        return "the URL is not one that can be connected to"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the host's certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the host cannot be connected to"
    return "the host broke off the connection"
