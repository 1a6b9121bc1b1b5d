"""What an app may say of itself."""

import re
import secrets
import unicodedata
from collections.abc import Sequence

import msgspec

from common.contracts.errors import InvalidRequestError
from oauth.domain.apps import AUTH_METHODS, App
from oauth.domain.scopes import SCOPES
from oauth.domain.signatures import UnsignedError, public_key
from oauth.domain.subjects import SUBJECT_PREFIX
from oauth.registry.domain.redirects import check_homepage, check_redirects

MOST_APPS = 50
"""Apps of one person that are not disabled."""
MOST_KEYS = 10
MANAGEMENT_SCOPE = "management_token"
WHOLE_MICRO = 1_000_000
_NAME_LENGTH = 60
_DESCRIPTION_LENGTH = 500
_JWKS_BYTES = 20_000
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def new_client_id() -> str:
    """160 random bits; never like a person's `sub`."""
    return f"app_{secrets.token_hex(20)}"


def check_client_id(client_id: str) -> None:
    """Of an app that the operator names; InvalidRequestError."""
    if not _CLIENT_ID.fullmatch(client_id) or client_id.startswith(SUBJECT_PREFIX):
        raise InvalidRequestError(
            f"1 to 128 letters, digits, `.`, `_`, `-`, and not `{SUBJECT_PREFIX}` at the beginning.",
            param="client_id",
        )


def check_app(app: App, *, management_tokens: bool) -> App:
    """The app with its texts made plain; InvalidRequestError naming the field that cannot be."""
    if app.auth_method not in AUTH_METHODS:
        raise InvalidRequestError(f"One of {', '.join(AUTH_METHODS)}.", param="auth_method")
    if (app.auth_method == "private_key_jwt") != (app.jwks is not None):
        raise InvalidRequestError("Keys go with `private_key_jwt`, and it with keys.", param="jwks")
    if not 0 <= app.fee_micro <= WHOLE_MICRO:
        raise InvalidRequestError("A share from 0 to 1.", param="fee")
    return msgspec.structs.replace(
        app,
        name=_plain("name", app.name, 1, _NAME_LENGTH),
        description=_plain("description", app.description, 0, _DESCRIPTION_LENGTH),
        homepage=check_homepage(app.homepage),
        redirect_uris=check_redirects(app.redirect_uris, is_public=app.is_public),
        scopes=_check_scopes(app.scopes, management_tokens=management_tokens),
        secrets=app.secrets if app.auth_method.startswith("client_secret") else (),
    )


def public_keys(value: object) -> str:
    """A JSON Web Key Set as text, of public keys alone (RFC 7517); InvalidRequestError for any other.

    A private key would be ours to lose, a symmetric one is no proof of who signed.
    """
    text = msgspec.json.encode(value)
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS or len(text) > _JWKS_BYTES:
        raise InvalidRequestError(f'`{{"keys": [...]}}` with 1 to {MOST_KEYS} keys.', param="jwks")
    for index, key in enumerate(keys):
        _check_key(key, f"jwks.keys[{index}]")
    named = [key["kid"] for key in keys if "kid" in key]
    if len(set(named)) != len(named) or (len(keys) > 1 and len(named) < len(keys)):
        raise InvalidRequestError("Of several keys each has a `kid` of its own.", param="jwks")
    return text.decode()


def _check_key(value: object, param: str) -> None:
    try:
        public_key(value)
    except UnsignedError as error:
        raise InvalidRequestError(str(error), param=param) from None
    if isinstance(value, dict) and not isinstance(value.get("kid", ""), str):
        raise InvalidRequestError("A `kid` is text.", param=param)


def _check_scopes(scopes: Sequence[str], *, management_tokens: bool) -> tuple[str, ...]:
    if not scopes or not set(scopes) <= SCOPES.keys():
        raise InvalidRequestError(f"At least one of {', '.join(SCOPES)}.", param="scopes")
    if MANAGEMENT_SCOPE in scopes and not management_tokens:
        raise InvalidRequestError(f"`{MANAGEMENT_SCOPE}` is off in this installation.", param="scopes")
    return tuple(dict.fromkeys(scopes))


def _plain(param: str, text: str, least: int, most: int) -> str:
    """Trimmed, composed (NFC), and made of what is seen: no controls, no marks that turn text around."""
    plain = unicodedata.normalize("NFC", text).strip()
    if not least <= len(plain) <= most:
        raise InvalidRequestError(f"{least} to {most} characters.", param=param)
    if any(unicodedata.category(letter)[0] == "C" or letter in "\u2028\u2029" for letter in plain):
        raise InvalidRequestError("No control characters, and none that cannot be seen.", param=param)
    return plain
