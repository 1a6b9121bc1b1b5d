"""What an app that signed somebody in may know of them."""

from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import Digester, LiveToken


def describe_person(digester: Digester, token: LiveToken) -> dict[str, object]:
    """The claims of userinfo (OpenID Connect Core section 5.3): `sub` as in ID tokens, and the address when
    the token has the scope `email`. Nobody has proved that the address is theirs.
    """
    claims: dict[str, object] = {"sub": pairwise_subject(digester, token.app.client_id, token.person.user)}
    if "email" in token.scopes and token.person.email:
        claims |= {"email": token.person.email, "email_verified": False}
    return claims
