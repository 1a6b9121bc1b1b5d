"""Make an authorization code, and use it, once."""

from datetime import datetime

from oauth.domain.apps import App
from oauth.domain.codes import CodeUse, check_use
from oauth.domain.errors import InvalidGrantError, OAuthError
from oauth.domain.ports import OAuthTransaction
from oauth.domain.tokens import CODE_PREFIX, Code, Digester, Family, generate
from oauth.usecases.families import end_family


async def make_code(
    work: OAuthTransaction,
    digester: Digester,
    family: Family,
    until: datetime,
    *,
    redirect_uri: str,
    challenge: str,
    dpop_jkt: str = "",
) -> str:
    """A new code for the tokens of a consent, in clear, this once."""
    code = generate(CODE_PREFIX)
    stored = Code(digester.digest(code), family.id, redirect_uri, challenge, until, dpop_jkt)
    await work.tokens.add_code(stored)
    return code


async def use_code(work: OAuthTransaction, app: App, use: CodeUse, now: datetime) -> Family | OAuthError:
    """The family of the code; a refusal is returned, since what it did must stay.

    Another app's attempt leaves the code as it is. The app's own attempt uses it up, even with a wrong
    verifier, and one attempt more ends all tokens that it led to (RFC 6749 section 4.1.2).
    """
    refusal = InvalidGrantError("The code is unknown, used, expired, or of another app.")
    taken = await work.tokens.take_code(use.digest, app.id, now)
    if taken is None:
        await _end_replayed(work, app, use.digest, now)
        return refusal
    code, family = taken
    try:
        check_use(code, use)
    except InvalidGrantError as error:
        return error
    return family


async def _end_replayed(work: OAuthTransaction, app: App, digest: bytes, now: datetime) -> None:
    code = await work.tokens.find_code(digest)
    if code is None or code.used_at is None:
        return
    standing = await work.tokens.find_standing(code.family)
    if standing is not None and standing.grant.app == app.id:
        await end_family(work, code.family, standing.grant, app, "replay", now)
