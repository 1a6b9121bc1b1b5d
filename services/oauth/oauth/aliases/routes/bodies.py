"""Bodies of both kinds that clients of the dialects send."""

from decimal import Decimal
from typing import Any

import msgspec
from litestar import Request

from oauth.domain.errors import InvalidRequestError
from oauth.routes.forms import MAX_FORM_BYTES, read_form

_NUMBERS = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


async def read_body(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """A form or a JSON object; numbers become plain decimal text, so that no amount passes through a float.

    InvalidRequestError for anything else, and for more than 64 KiB (413). An empty body says nothing.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return dict(await read_form(request))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise InvalidRequestError("The body is too large.", status=413)
    try:
        found = _NUMBERS.decode(bytes(body) or b"{}")
    except msgspec.DecodeError as error:
        raise InvalidRequestError("The body must be a form or a JSON object.") from error
    return {name: _plain(value) for name, value in found.items() if value is not None}


def text_of(body: dict[str, Any], name: str) -> str | None:
    """A text of the body, None when it is not there; InvalidRequestError when it is something else."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be text.", param=name)
    return value or None


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() and abs(value.adjusted()) < 30 else "out of range"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
