"""Where a browser is sent with its code, in the two dialects."""

import base64
import binascii
import re
from urllib.parse import quote, urlencode, urlsplit

from oauth.domain.errors import InvalidRequestError

_LONGEST_TEMPLATE = 2048
_PLACE = re.compile(r"\{(code|state)\}")


def read_template(encoded: str, redirect_uri: str) -> str:
    """`redirect_template` in clear: a query with `{code}` and perhaps `{state}`, put behind the redirect URI.

    It can add a query and nothing else, so that the redirect still ends where the app is registered (RFC 9700
    section 4.1); InvalidRequestError otherwise.
    """
    padded = encoded.translate(str.maketrans("-_ ", "+/+")) + "=" * (-len(encoded) % 4)
    try:
        template = base64.b64decode(padded, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _refused("is not base64 of ASCII text") from None
    if len(template) > _LONGEST_TEMPLATE or not template.isprintable() or {" ", "#", "\\"} & set(template):
        raise _refused("is too long, or has characters that do not belong in a query")
    if not template.startswith("?") or "{code}" not in template:
        raise _refused("must begin with ? and contain {code}")
    if urlsplit(redirect_uri).query:
        raise _refused("cannot be put behind a redirect URI that has a query")
    return template


def fill_template(redirect_uri: str, template: str, code: str, state: str) -> str:
    """The URL; what is filled in is percent-encoded and cannot leave its place."""
    filled = {"code": quote(code, safe=""), "state": quote(state, safe="")}
    return redirect_uri + _PLACE.sub(lambda place: filled[place[1]], template)


def add_query(url: str, values: dict[str, str]) -> str:
    """The URL with more behind what query it has; what is there stays as it is, byte for byte."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(values)}"


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"redirect_template {why}.", param="redirect_template")
