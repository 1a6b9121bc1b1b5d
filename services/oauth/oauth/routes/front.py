"""The hot paths, raw ASGI before everything else: they pass neither through Litestar's routing nor its
parameters, which cost as much as the rest of a small request (ADR 0003).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import MethodNotAllowedException
from litestar.types import ExceptionHandlersMap

from common.kit.asgi import ClientGoneError, Receive, Scope, Send, send_response
from common.kit.errors import Headers

Answer = tuple[int, Headers, bytes]
"""Status, headers and body."""
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
_JSON = (b"content-type", b"application/json")


class Hot(msgspec.Struct, frozen=True):
    """What answers a POST to a path, and how its refusals are told, as controllers have it.

    `is_alone`: Litestar does not know the path, so that every other method is refused here.
    """

    answer: Callable[[Scope, Receive], Awaitable[Answer]]
    exception_handlers: ExceptionHandlersMap
    is_alone: bool = False


class Front:
    """ASGI application before Litestar's, `rest`. `hot` goes by path.

    `exception_handlers` are the application's, for what the hot path's own do not know.
    """

    def __init__(self, hot: Mapping[str, Hot], exception_handlers: ExceptionHandlersMap, rest: Asgi) -> None:
        self._hot = hot
        self._exception_handlers = exception_handlers
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        hot = self._hot.get(scope["path"].rstrip("/")) if scope["type"] == "http" else None
        if hot is None or (scope["method"] != "POST" and not hot.is_alone):
            await self._rest(scope, receive, send)
            return
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowedException(headers={"allow": "POST"})  # noqa: TRY301  told as the rest
            answer = await hot.answer(scope, receive)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001  every failure is answered
            request: Request[Any, Any, Any] = Request(scope, receive, send)  # type: ignore[arg-type]
            answer = _refused({**self._exception_handlers, **hot.exception_handlers}, request, error)
        await send_response(send, *answer)


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """As Litestar would send it."""
    body = msgspec.json.encode(value)
    pairs = [_JSON, (b"content-length", b"%d" % len(body)), *_pairs(headers or {})]
    return status, pairs, body


def _refused(handlers: ExceptionHandlersMap, request: Request[Any, Any, Any], error: Exception) -> Answer:
    handle = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
    response: Response[Any] = handle(request, error)
    if not isinstance(response.content, bytes):
        return json_answer(response.status_code or 500, response.content, response.headers)
    kind = (b"content-type", str(response.media_type).encode())
    length = (b"content-length", b"%d" % len(response.content))
    return response.status_code or 500, [kind, length, *_pairs(response.headers)], response.content


def _pairs(headers: Mapping[str, str]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
