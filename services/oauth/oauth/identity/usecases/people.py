"""What an app that signed somebody in may know of them."""

from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import Digester, LiveToken


def describe_person(digester: Digester, token: LiveToken) -> dict[str, object]:
    """The claims of userinfo (OpenID Connect Core section 5.3): `sub` as in ID tokens, and the address when
    the token has the scope `email`. Nobody has proved that the address is theirs. People have no other name
    here than what their address begins with: `profile` opens that.
    """
    claims: dict[str, object] = {"sub": pairwise_subject(digester, token.app.client_id, token.person.user)}
    email = token.person.email
    if "profile" in token.scopes and email:
        name = email.partition("@")[0]
        claims |= {"name": name, "preferred_username": name}
    if "email" in token.scopes and email:
        claims |= {"email": email, "email_verified": False}
    return claims
