"""Parameters of OAuth requests, read strictly (RFC 6749 sections 3.1 and 3.2)."""

import re
from typing import Any, cast
from urllib.parse import parse_qsl

from litestar import Request

from common.contracts.errors import BodyTooLargeError
from common.kit.asgi import ClientGoneError, Receive, Scope, header, read_body
from oauth.domain.errors import InvalidRequestError

MAX_FORM_BYTES = 65_536
_MOST_PARAMETERS = 100
_FORM = b"application/x-www-form-urlencoded"
_CONTROLS = re.compile(r"[\x00-\x1f]")


async def read_form(request: Request[Any, Any, Any]) -> dict[str, str]:
    """As `receive_form`."""
    return await receive_form(cast("Scope", request.scope), cast("Receive", request.receive))


async def receive_form(scope: Scope, receive: Receive) -> dict[str, str]:
    """The form of a POST; InvalidRequestError for another type, over 64 KiB (413), or as below."""
    kind = (header(scope["headers"], b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != _FORM:
        raise InvalidRequestError(f"The body must be {_FORM.decode()}.")
    try:
        body = await read_body(receive, MAX_FORM_BYTES)
    except BodyTooLargeError:
        raise InvalidRequestError("The form is too large.", status=413) from None
    except ClientGoneError:
        raise InvalidRequestError("The form is incomplete.") from None
    return parse_parameters(body)


def parse_parameters(raw: bytes) -> dict[str, str]:
    """A form or query string; a parameter without a value is as good as none.

    InvalidRequestError, never with what was sent, when one is repeated, not UTF-8, or has control characters.
    """
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as error:
        raise InvalidRequestError("The parameters are malformed.") from error
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise InvalidRequestError("A parameter is repeated.")
    if any(map(_CONTROLS.search, parameters.values())):
        raise InvalidRequestError("A parameter has control characters.")
    return {name: value for name, value in parameters.items() if value}
