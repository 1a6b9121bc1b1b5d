"""Who is signed in, for pages: the gateway's session cookie, and the secret that their forms bring back."""

import hmac
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, Response

from common.contracts.identity import SessionFound
from oauth.domain.errors import StaleFormError
from oauth.domain.ports import Browsers
from oauth.routes.pages.words import Language, language_of

_TOKEN_LENGTH = 128


class SessionCookie(msgspec.Struct, frozen=True):
    """Where the session token is: over https the name binds it to this host (RFC 6265bis 4.1.3.2)."""

    issuer: str

    @property
    def name(self) -> str:
        """As the gateway sets it."""
        return "__Host-tollway_session" if self.issuer.startswith("https://") else "tollway_session"


async def signed_in(
    request: Request[Any, Any, Any], browsers: Browsers, cookie: SessionCookie
) -> SessionFound | None:
    """The session of the browser that asks; None when nobody is signed in."""
    token = request.cookies.get(cookie.name, "")
    if not token or len(token) > _TOKEN_LENGTH:
        return None
    return await browsers.find_session(token)


def check_csrf(session: SessionFound, given: str) -> None:
    """StaleFormError unless a page of this session sent the form."""
    if not hmac.compare_digest(session.csrf.encode(), given.encode()):
        raise StaleFormError("The form was not sent by a page of this session.")


def language_for(request: Request[Any, Any, Any]) -> Language:
    """What the browser prefers."""
    return language_of(request.headers.get("accept-language", ""))


def redirect(target: str) -> Response[str]:
    """303, so that no form is sent on to another place (RFC 9700 section 4.12); kept by nobody."""
    headers = {"location": target, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return Response("", status_code=303, headers=headers)


def sign_in_first(path: str, *, again: bool = False, login_hint: str = "") -> Response[str]:
    """To the gateway's sign-in page, and then on to `path` (with its query) of this host.

    `again`: even if somebody is signed in. `login_hint` is the address that the form proposes.
    """
    query = {"next": path} | ({"again": "true"} if again else {})
    query |= {"login_hint": login_hint} if login_hint else {}
    return redirect(f"/login?{urlencode(query, quote_via=quote)}")
