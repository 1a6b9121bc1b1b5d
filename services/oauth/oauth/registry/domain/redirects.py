"""Where an app may have browsers sent (RFC 9700 section 4.1, RFC 8252 section 7)."""

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from common.contracts.errors import InvalidRequestError

MOST_REDIRECTS = 20
LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_LONGEST = 1000
_URI = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()+,;=%-]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_PRIVATE = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
"""A domain of the app's author read backwards: at least one dot, so that no scheme of browsers is one."""


def check_redirects(uris: Sequence[str], *, is_public: bool) -> tuple[str, ...]:
    """The same, all good and each once; InvalidRequestError naming the first that is not.

    https to a host, http to this machine, and for apps without a secret a private scheme. They are compared
    as text, so a wildcard, a fragment or a user name has no place in them.
    """
    if not 1 <= len(uris) <= MOST_REDIRECTS:
        raise InvalidRequestError(f"1 to {MOST_REDIRECTS} redirect URIs.", param="redirect_uris")
    if len(set(uris)) != len(uris):
        raise InvalidRequestError("A redirect URI is given twice.", param="redirect_uris")
    for index, uri in enumerate(uris):
        reason = _fault(uri, is_public=is_public)
        if reason:
            raise InvalidRequestError(f"A redirect URI {reason}.", param=f"redirect_uris[{index}]")
    return tuple(uris)


def check_homepage(url: str) -> str:
    """An https address or none; InvalidRequestError."""
    if url:
        reason = _fault(url, is_public=False)
        if not reason and not url.startswith("https://"):
            reason = "is https"
        if reason:
            raise InvalidRequestError(f"A homepage {reason}.", param="homepage")
    return url


def _fault(uri: str, *, is_public: bool) -> str:
    if len(uri) > _LONGEST:
        return f"has at most {_LONGEST} characters"
    if not _URI.fullmatch(uri):
        return "is an ASCII URI without spaces, `*`, `#` or backslash"
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "has a host and port that can be"
    if uri.startswith(("https://", "http://")):
        return _web_fault(parts)
    return _private_fault(uri, parts, is_public=is_public)


def _private_fault(uri: str, parts: SplitResult, *, is_public: bool) -> str:
    if not uri.startswith(f"{parts.scheme}:") or not _PRIVATE.fullmatch(parts.scheme):
        return "begins with `https://`, `http://127.0.0.1` or a private scheme such as `com.example.app:/`"
    if not is_public:
        return "has a private scheme only where the app keeps no secret"
    return "has no user name or host after a private scheme" if "@" in uri or parts.netloc else ""


def _web_fault(parts: SplitResult) -> str:
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc.removesuffix(":")
    if "@" in parts.netloc or parts.netloc.endswith(":"):
        return "has no user name and no empty port"
    if not _HOST.fullmatch(host):
        return "names its host in lower case letters, digits, dots and hyphens"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "is http only at 127.0.0.1, [::1] or localhost"
    return ""
