"""What an app may ask to do, by name."""

import re
from collections.abc import Sequence

from oauth.domain.errors import InvalidScopeError

SCOPES = {
    "openid": "identify you to the app, by a name only it knows",
    "profile": "see your user name, which is your e-mail address up to the @",
    "email": "see your e-mail address",
    "offline_access": "go on while you are away",
    "relay": "use models at your expense",
    "charge": "charge your balance",
    "balance": "see your balance",
    "topup": "make top-up orders that you then pay",
    "management_token": "read and replace your management key",
}
"""Every scope there is, with what it lets an app do; pages have words of their own."""

SPENDING = frozenset(("relay", "charge"))
"""Scopes that spend; a grant with one has a limit that its person entered."""

SIGN_IN = frozenset(("openid", "profile", "email"))
"""A grant of these alone is used once, at sign-in: it is renewed only when `offline_access` was asked for."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
_MOST = 500


def parse_scope(text: str) -> tuple[str, ...]:
    """The names in the order given, each once (RFC 6749 section 3.3); InvalidScopeError for other text."""
    if len(text) > _MOST or not _SCOPE.fullmatch(text):
        raise InvalidScopeError("The scope is malformed.", param="scope")
    return tuple(dict.fromkeys(text.split(" ")))


def allowed_scopes(asked: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    """What was asked, when all of it is allowed; InvalidScopeError naming no foreign text otherwise."""
    if not set(asked) <= set(allowed) & SCOPES.keys():
        raise InvalidScopeError("The scope is unknown or not allowed for this app.", param="scope")
    return tuple(asked)
