"""Refusals of charges as problems, with what an app can act on beside the code."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.types import ExceptionHandlersMap

from common.kit.errors import render_error
from common.kit.ids import is_request_id, uuid7
from oauth.charges.domain.errors import ChargeRefusedError
from oauth.routes.errors import NO_STORE, resource_handlers


def _refusal(request: Request[Any, Any, Any], error: ChargeRefusedError) -> Response[bytes]:
    """RFC 9457 section 3.2: what is more goes beside the standard's members."""
    request_id = request.headers.get("x-request-id", "")
    if not is_request_id(request_id):
        request_id = uuid7()
    status, pairs, body = render_error("problem", error, request_id)
    headers = {name.decode(): value.decode() for name, value in pairs if name != b"content-length"}
    media_type = headers.pop("content-type")
    problem = msgspec.json.encode(msgspec.json.decode(body) | error.more)
    return Response(problem, status_code=status, headers=headers | NO_STORE, media_type=media_type)


charge_handlers: ExceptionHandlersMap = {**resource_handlers, ChargeRefusedError: _refusal}
"""For controllers of charges."""
