"""Where an answer may go, and how it is written there."""

import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode

_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::[0-9]{1,5})?(/.*)?")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?=[/?]|$)")


def find_redirect(asked: str | None, registered: Sequence[str]) -> str | None:
    """Where to answer: `asked` when it is registered, the only registered one when none was asked.

    Compared character by character, but for the port of a loopback address (RFC 9700 section 2.1, RFC 8252
    section 7.3). None when there is no such place.
    """
    if asked is None:
        return registered[0] if len(registered) == 1 else None
    loopback = _without_port(asked)
    if asked in registered or (loopback and loopback in map(_without_port, registered)):
        return asked
    return None


def answer(redirect_uri: str, issuer: str, state: str, **parameters: str) -> str:
    """The redirect URI with the parameters of the answer, `iss` (RFC 9207), and `state` as it was sent."""
    query = parameters | ({"state": state} if state else {}) | {"iss": issuer}
    joint = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{joint}{urlencode(query, quote_via=quote)}"


def place_of(redirect_uri: str) -> str:
    """What people are told of where they are sent: the host, or for an app on their device its scheme."""
    scheme, _, rest = redirect_uri.partition(":")
    return re.split(r"[/?]", rest[2:], maxsplit=1)[0] if rest.startswith("//") else f"{scheme}:"


def form_targets(redirect_uri: str) -> tuple[str, ...]:
    """CSP sources that a form answered by a redirect there must allow.

    Chromium applies `form-action` to every redirect that follows a form, also to those of the app behind its
    redirect URI, which often leads to another host of its own: hence all of https. An IPv6 address cannot be
    written in CSP.
    """
    scheme = redirect_uri.partition(":")[0]
    if scheme == "https":
        return ("https:",)
    if scheme == "http":
        origin = _ORIGIN.match(redirect_uri)
        return (origin[0] if origin else "http:", "https:")
    return (f"{scheme}:",)


def is_assured(redirect_uri: str, *, is_public: bool) -> bool:
    """Whether the answer can reach nobody but the app, so that a person need not look each time.

    An app with a secret must prove itself to use the code; one without is known only by an https address
    (RFC 6749 section 10.2, RFC 8252 section 8.6).
    """
    return not is_public or redirect_uri.startswith("https://")


def _without_port(uri: str) -> tuple[str, str] | None:
    """What stands before and behind the port of a loopback address; None for every other."""
    found = _LOOPBACK.fullmatch(uri)
    return None if found is None else (found[1], found[2] or "")
