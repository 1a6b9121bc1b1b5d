"""The sender from the first delivery on: where there are no webhooks aiohttp's 8 MB are not loaded."""

from contextlib import AsyncExitStack

from common.webhooks.attempts import Outcome
from common.webhooks.deliverer import Send


class LazySender:
    """Its client is taken down with `stack`. `allow_loopback` is for development and tests."""

    def __init__(self, stack: AsyncExitStack, content_type: str, *, allow_loopback: bool) -> None:
        self._stack = stack
        self._content_type = content_type
        self._allow_loopback = allow_loopback
        self._send: Send | None = None

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """See deliverer.Send."""
        if self._send is None:
            from common.webhooks.outbound import OutboundHttp  # noqa: PLC0415  see the module
            from common.webhooks.sending import TIMEOUT_S, HttpWebhooks  # noqa: PLC0415  see the module

            http = OutboundHttp(TIMEOUT_S, allow_loopback=self._allow_loopback)
            self._send = HttpWebhooks(http, self._content_type).send
            await self._stack.enter_async_context(http)
        return await self._send(url, headers, body)
