"""What must come with an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.6, RFC 9449 10)."""

import base64
import hashlib
import hmac
import re

import msgspec

from oauth.domain.errors import InvalidGrantError, InvalidRequestError
from oauth.domain.tokens import Code

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


class CodeUse(msgspec.Struct, frozen=True):
    """An app's attempt to use a code, which is known by its digest; None is what it did not send.

    `jkt` is the key that the app proved, else empty.
    """

    digest: bytes
    verifier: str | None = None
    redirect_uri: str | None = None
    jkt: str = ""


def challenge_of(verifier: str) -> str:
    """S256: base64url of its SHA-256, the only method there is."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def read_challenge(challenge: str | None, method: str | None) -> str:
    """The S256 challenge, which every app sends, with a secret or not (OAuth 2.1 section 4.1.1, RFC 9700
    section 2.1.1); InvalidRequestError.
    """
    if not challenge:
        raise InvalidRequestError("The parameter code_challenge is missing: PKCE is required.")
    if method != "S256":
        raise InvalidRequestError("The code_challenge_method is S256.", param="code_challenge_method")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequestError("The code_challenge is no S256 challenge.", param="code_challenge")
    return challenge


def check_use(code: Code, use: CodeUse) -> None:
    """InvalidGrantError unless verifier, redirect URI and key are those that the code was made for.

    A code without challenge takes no verifier, so that nobody strips the challenge (RFC 9700 section 4.8.2).
    A redirect URI counts when it is sent (OAuth 2.1).
    """
    verifier = use.verifier or ""
    if code.challenge:
        is_right = bool(_VERIFIER.fullmatch(verifier)) and hmac.compare_digest(
            challenge_of(verifier), code.challenge
        )
    else:
        is_right = not verifier
    if not is_right:
        raise InvalidGrantError("The code_verifier is missing or wrong.", param="code_verifier")
    if use.redirect_uri is not None and use.redirect_uri != code.redirect_uri:
        raise InvalidGrantError("The redirect_uri is another one than the code was made for.")
    if code.dpop_jkt and use.jkt != code.dpop_jkt:
        raise InvalidGrantError("The code is bound to a DPoP key that was not proved.")
