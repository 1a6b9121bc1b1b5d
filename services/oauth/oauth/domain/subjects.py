"""The name under which an app knows a person: another one at each app (OpenID Connect Core section 8.1)."""

from base64 import urlsafe_b64encode

from oauth.domain.tokens import Digester

SUBJECT_PREFIX = "sub_"
"""No client id begins so (RFC 9700 section 4.15: an app must not pass for a person)."""
_SUBJECT_BYTES = 24


def pairwise_subject(digester: Digester, client_id: str, user: str) -> str:
    """36 characters, always the same for an app and a person; two apps cannot tell that theirs are one."""
    digest = digester.digest(f"subject\n{client_id}\n{user}")[:_SUBJECT_BYTES]
    return SUBJECT_PREFIX + urlsafe_b64encode(digest).decode()
