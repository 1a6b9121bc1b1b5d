"""Make an authorization code; `exchanges` uses it, once."""

from datetime import datetime

from oauth.domain.ports import OAuthTransaction
from oauth.domain.tokens import CODE_PREFIX, Code, Digester, Family, generate


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
