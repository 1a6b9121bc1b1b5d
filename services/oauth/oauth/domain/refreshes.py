"""What must come with a refresh token, and what it may ask (RFC 6749 section 6, RFC 9449 section 5)."""

import msgspec

from oauth.domain.apps import App
from oauth.domain.errors import InvalidGrantError, InvalidScopeError
from oauth.domain.scopes import parse_scope
from oauth.domain.tokens import Standing, allowed_now


class Refresh(msgspec.Struct, frozen=True):
    """An app's wish to renew: the token's digest, the scope it asks (None: all), the key it proved."""

    digest: bytes
    scope: str | None = None
    jkt: str = ""


def scopes_for(app: App, standing: Standing, refresh: Refresh) -> tuple[str, ...]:
    """The scopes of the next access token: less than was consented to may be asked, never more.

    InvalidScopeError for more, InvalidGrantError without a proof by the key that the family is bound to.
    """
    family = standing.family
    if family.jkt and refresh.jkt != family.jkt:
        raise InvalidGrantError("The refresh token is bound to a DPoP key that was not proved.")
    allowed = allowed_now(family.scopes, app, standing.grant)
    if refresh.scope is None:
        return allowed
    scopes = parse_scope(refresh.scope)
    if not set(scopes) <= set(allowed):
        raise InvalidScopeError("The scope is more than was granted.", param="scope")
    return scopes
