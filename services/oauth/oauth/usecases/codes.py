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
    code = await work.tokens.find_code(use.digest)
    standing = None if code is None else await work.tokens.find_standing(code.family)
    if standing is None or standing.grant.app != app.id:
        return refusal
    taken = await work.tokens.take_code(use.digest, now)
    if taken is None:
        before = await work.tokens.find_code(use.digest)
        if before is not None and before.used_at is not None:
            await end_family(work, standing.family.id, standing.grant, app, "replay", now)
        return refusal
    try:
        check_use(taken, use)
    except InvalidGrantError as error:
        return error
    return standing.family
