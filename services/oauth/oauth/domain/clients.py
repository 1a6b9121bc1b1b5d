"""How an app proves who it is (RFC 6749 section 2.3, OAuth 2.1 section 2.4, RFC 7523).

Secrets are 256 random bits that we made: guessing is hopeless, and a limit on failures would only let a
stranger who knows the public client id lock the app out.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

import msgspec

from oauth.domain.apps import App
from oauth.domain.errors import InvalidClientError, InvalidRequestError
from oauth.domain.signatures import Statement, UnsignedError, public_key, read_unverified, verify
from oauth.domain.tokens import Digester

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = timedelta(hours=1)
"""An assertion that lives longer is refused: its id must be remembered that long."""
_LEEWAY = timedelta(seconds=60)
_LONGEST_ID = 200


class Credentials(msgspec.Struct, frozen=True):
    """What an app sent to prove itself; with neither secret nor assertion it only says who it is."""

    client_id: str
    secret: str | None = None
    assertion: str | None = None


class Assertion(msgspec.Struct, frozen=True):
    """An assertion that is right; the caller must see that `id` is used once until `expires_at`."""

    id: str
    expires_at: datetime


def read_credentials(form: Mapping[str, str], authorization: str | None) -> Credentials:
    """From the Authorization header or the form: one way, not two (RFC 6749 section 2.3).

    Raises InvalidRequestError for two ways, InvalidClientError for none or what cannot be read.
    """
    header = None if authorization is None else _read_basic(authorization)
    assertion = _read_assertion(form)
    secret = form.get("client_secret")
    if sum(given is not None for given in (header, assertion, secret)) > 1:
        raise InvalidRequestError("The app authenticates in more than one way.")
    if header is not None:
        found = header
    elif assertion is not None:
        found = Credentials(assertion_subject(assertion), assertion=assertion)
    else:
        found = Credentials(form.get("client_id", ""), secret)
    if form.get("client_id", found.client_id) != found.client_id:
        raise InvalidRequestError("The app names two client ids.", param="client_id")
    if not 0 < len(found.client_id) <= _LONGEST_ID or not found.client_id.isprintable():
        raise InvalidClientError("The app does not say who it is.")
    return found


def is_secret_of(app: App, secret: str, digester: Digester) -> bool:
    """Whether it is one of the app's, two of which live during a rotation; in constant time."""
    digest = digester.digest(secret)
    return sum(hmac.compare_digest(digest, known) for known in app.secrets) > 0  # all are compared


def assertion_subject(assertion: str) -> str:
    """Who an assertion says it is from, not yet verified; InvalidClientError when it does not say."""
    try:
        return read_unverified(assertion).text("sub")
    except UnsignedError as error:
        raise InvalidClientError(f"The assertion is not accepted. {error}") from error


def check_assertion(assertion: str, app: App, audiences: Sequence[str], now: datetime) -> Assertion:
    """RFC 7523 section 3 but the check that it is used once; InvalidClientError."""
    try:
        statement = read_unverified(assertion)
        verify(assertion, public_key(_key_of(app, statement.header.get("kid"))))
        _check_parties(statement, app.client_id, audiences)
        expires_at_s = _check_times(statement, now.timestamp())
        jti = statement.text("jti")
    except UnsignedError as error:
        raise InvalidClientError(f"The assertion is not accepted. {error}") from error
    lives = timedelta(seconds=expires_at_s - now.timestamp()) + _LEEWAY
    return Assertion(f"assertion:{app.id}:{jti}", now + lives)


def _read_basic(authorization: str) -> Credentials:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClientError("Apps authenticate by header with the scheme Basic only.")
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidClientError("The Authorization header is malformed.") from error
    client_id, colon, secret = pair.partition(":")
    if not colon:
        raise InvalidClientError("The Authorization header is malformed.")
    return Credentials(unquote_plus(client_id), unquote_plus(secret) or None)  # a public app has none


def _read_assertion(form: Mapping[str, str]) -> str | None:
    kind, assertion = form.get("client_assertion_type"), form.get("client_assertion")
    if kind is None and assertion is None:
        return None
    if kind != ASSERTION_TYPE or assertion is None:
        raise InvalidRequestError("The client assertion or its type is missing or unknown.")
    return assertion


def _key_of(app: App, kid: object) -> object:
    """The key that the header names; without a name the only one."""
    keys = msgspec.json.decode(app.jwks or '{"keys":[]}')["keys"]
    named = [key for key in keys if kid is None or key.get("kid") == kid]
    if len(named) != 1:
        raise UnsignedError("No key of the app has the kid of its header.")
    return named[0]


def _check_parties(statement: Statement, client_id: str, audiences: Sequence[str]) -> None:
    if {statement.text("iss"), statement.text("sub")} != {client_id}:
        raise UnsignedError("Its iss and sub must be the client id.")
    said = statement.claims.get("aud")
    named = said if isinstance(said, list) else [said]
    if not named or not all(one in audiences for one in named):
        raise UnsignedError("It was made for another server.")


def _check_times(statement: Statement, now_s: float) -> float:
    expires_at_s = statement.seconds("exp")
    leeway_s = _LEEWAY.total_seconds()
    if not now_s - leeway_s < expires_at_s <= now_s + ASSERTION_LIFETIME.total_seconds() + leeway_s:
        raise UnsignedError("It has expired, or lives longer than an hour.")
    for name in ("iat", "nbf"):
        if name in statement.claims and statement.seconds(name) > now_s + leeway_s:
            raise UnsignedError("It is of the future.")
    return expires_at_s
