"""Exchange a refresh token for the next one."""

from datetime import datetime

import msgspec

from oauth.domain.apps import App
from oauth.domain.errors import InvalidGrantError, InvalidScopeError, OAuthError
from oauth.domain.grants import Grant
from oauth.domain.ports import OAuthTransaction
from oauth.domain.scopes import parse_scope
from oauth.domain.tokens import REFRESH_GRACE, Family, RefreshToken, allowed_now
from oauth.usecases.families import end_family

_REFUSED = "The refresh token is unknown, used, expired, revoked, or of another app."


class Refresh(msgspec.Struct, frozen=True):
    """An app's wish to renew: the token's digest, the scope it asks (None: all), the key it proved."""

    digest: bytes
    scope: str | None = None
    jkt: str = ""


async def use_refresh(
    work: OAuthTransaction, app: App, refresh: Refresh, now: datetime
) -> Family | OAuthError:
    """The family, with the scopes for the access token; the refresh token is used up.

    Only an attempt that succeeds uses it up. A token that was used before ends its family, unless it was
    used within REFRESH_GRACE. A refusal that did so is returned, the others are raised.
    """
    found = await work.tokens.find_refresh(refresh.digest)
    standing = None if found is None else await work.tokens.find_standing(found.family)
    if found is None or standing is None or standing.grant.app != app.id:
        raise InvalidGrantError(_REFUSED)
    family, grant = standing.family, standing.grant
    if found.used_at is not None:
        return await _refuse_used(work, app, found, grant, now)
    if family.jkt and refresh.jkt != family.jkt:
        raise InvalidGrantError("The refresh token is bound to a DPoP key that was not proved.")
    scopes = _narrow(allowed_now(family.scopes, app, grant), refresh.scope)
    if await work.tokens.take_refresh(refresh.digest, now) is None:
        before = await work.tokens.find_refresh(refresh.digest)
        return await _refuse_used(work, app, before or found, grant, now)
    return msgspec.structs.replace(family, scopes=scopes, nonce="")


async def _refuse_used(
    work: OAuthTransaction, app: App, token: RefreshToken, grant: Grant, now: datetime
) -> OAuthError:
    if token.used_at is not None and now - token.used_at > REFRESH_GRACE:
        await end_family(work, token.family, grant, app, "replay", now)
    return InvalidGrantError(_REFUSED)


def _narrow(allowed: tuple[str, ...], asked: str | None) -> tuple[str, ...]:
    """Less than was consented to may be asked, never more (RFC 6749 section 6)."""
    if asked is None:
        return allowed
    scopes = parse_scope(asked)
    if not set(scopes) <= set(allowed):
        raise InvalidScopeError("The scope is more than was granted.", param="scope")
    return scopes
