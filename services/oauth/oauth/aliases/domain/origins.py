"""Apps that nobody registered: whoever answers at an origin is the app (OpenRouter's PKCE flow).

Nothing but the consent page stands between a person and such an app, so it shows the origin plainly and is
never skipped. The code is worth nothing to others: S256 is required.
"""

from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from common.kit.ids import uuid7
from oauth.domain.apps import App
from oauth.domain.errors import InvalidRequestError

SCOPES = ("relay",)
"""What the key of such an app can do: use models, within what the person entered."""
KEEP = timedelta(days=1)
"""An app that nobody allowed anything is forgotten after so long."""
_LONGEST = 2048
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def read_origin(callback_url: str) -> str:
    """The origin that the callback belongs to; InvalidRequestError.

    https, or http on loopback, where the port says nothing about who listens and is left out (RFC 8252
    section 7.3).
    """
    try:
        parts = urlsplit(callback_url)
        port = parts.port
    except ValueError as error:
        raise _refused("is malformed") from error
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if len(callback_url) > _LONGEST or not callback_url.isascii() or not callback_url.isprintable():
        raise _refused("is malformed")
    if {" ", "\\", "#"} & set(callback_url) or parts.username is not None or not host:
        raise _refused("has a fragment, credentials, or characters that do not belong there")
    if any(name == "code" for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise _refused("has a code already")
    if parts.scheme == "http" and host in _LOOPBACK:
        return f"http://{host}"
    if parts.scheme != "https":
        raise _refused("must be https, or http on this computer")
    return f"https://{host}" if port in (None, 443) else f"https://{host}:{port}"


def client_id_of(origin: str) -> str:
    """How the app of an origin is called: the origin without slashes, which have no place in paths."""
    return origin.replace("://", ":")


def make_app(origin: str, now: datetime) -> App:
    """A public app that nobody owns, with no redirect URI of its own: only this flow leads to it."""
    return App(
        id=uuid7(),
        client_id=client_id_of(origin),
        name=origin.partition("://")[2],
        auth_method="none",
        redirect_uris=(),
        scopes=SCOPES,
        created_at=now,
        updated_at=now,
        homepage=origin if origin.startswith("https://") else "",
    )


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"callback_url {why}.", param="callback_url")
