"""Authorization requests, read strictly (OAuth 2.1 section 4.1.1, OpenID Connect Core section 3.1.2.1)."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, cast

import msgspec

from oauth.domain.apps import App
from oauth.domain.codes import read_challenge
from oauth.domain.details import parse_details
from oauth.domain.errors import (
    InvalidRequestError,
    InvalidScopeError,
    RegistrationNotSupportedError,
    RequestNotSupportedError,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)
from oauth.domain.grants import Spending
from oauth.domain.parameters import required
from oauth.domain.scopes import allowed_scopes, parse_scope

Prompt = Literal["none", "login", "consent", "select_account"]
PROMPTS: tuple[Prompt, ...] = ("none", "login", "consent", "select_account")
KNOWN = (
    "response_type",
    "response_mode",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "authorization_details",
    "nonce",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "dpop_jkt",
    "request",
    "registration",
)
"""Every other is ignored (RFC 6749 section 3.1): `resource`, `display`, `ui_locales`, `claims` too."""
_LONGEST_TEXT = 512
_LONGEST_TOKEN = 4096
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 bytes in base64url: SHA-256 of a key (RFC 7638)."""
_SECONDS = re.compile(r"[0-9]{1,9}")


class AuthorizationRequest(msgspec.Struct, frozen=True):
    """A request that is right. `prompt` holds each value once; `asked` is what the app proposes to spend."""

    scopes: tuple[str, ...]
    challenge: str
    asked: Spending | None
    prompt: frozenset[Prompt]
    max_age_s: int | None
    nonce: str
    login_hint: str
    id_token_hint: str
    dpop_jkt: str


def read_request(app: App, parameters: Mapping[str, str], now: datetime) -> AuthorizationRequest:
    """What the app asks; an OAuthError with the code of the first thing that is wrong.

    `parameters` have no empty values; `state` and `redirect_uri` are looked at by the caller.
    """
    if "request" in parameters:
        raise RequestNotSupportedError("Request objects are not supported; use a pushed request.")
    if "registration" in parameters:
        raise RegistrationNotSupportedError("Apps are registered before they ask.")
    _check_response(parameters)
    details = parameters.get("authorization_details")
    asked = None if details is None else parse_details(details, now)
    return AuthorizationRequest(
        scopes=_scopes(app, parameters, asked),
        challenge=read_challenge(parameters.get("code_challenge"), parameters.get("code_challenge_method")),
        asked=asked,
        prompt=_prompt(parameters),
        max_age_s=_max_age_s(parameters),
        nonce=_text(parameters, "nonce"),
        login_hint=_text(parameters, "login_hint"),
        id_token_hint=_text(parameters, "id_token_hint", _LONGEST_TOKEN),
        dpop_jkt=_dpop_jkt(parameters),
    )


def _check_response(parameters: Mapping[str, str]) -> None:
    if required(parameters, "response_type") != "code":
        raise UnsupportedResponseTypeError("The response_type is code.", param="response_type")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequestError("The response_mode is query.", param="response_mode")


def _scopes(app: App, parameters: Mapping[str, str], asked: Spending | None) -> tuple[str, ...]:
    """`charge` when only `authorization_details` say what is asked (RFC 9396 section 2)."""
    text = parameters.get("scope", "charge" if asked else None)
    if text is None:
        raise InvalidScopeError("The parameter scope is missing.", param="scope")
    scopes = allowed_scopes(parse_scope(text), app.scopes)
    if asked is not None and not {"charge", "relay"} & set(scopes):
        message = "authorization_details to spend need the scope charge or relay."
        raise InvalidScopeError(message, param="scope")
    return scopes


def _prompt(parameters: Mapping[str, str]) -> frozenset[Prompt]:
    values = frozenset(parameters.get("prompt", "").split())
    if not values <= set(PROMPTS):
        raise InvalidRequestError("The prompt has an unknown value.", param="prompt")
    if "none" in values and len(values) > 1:
        raise InvalidRequestError("The prompt none stands alone.", param="prompt")
    return cast("frozenset[Prompt]", values)


def _max_age_s(parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("max_age")
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        raise InvalidRequestError("The max_age is a number of seconds.", param="max_age")
    return int(text)


def _text(parameters: Mapping[str, str], name: str, longest: int = _LONGEST_TEXT) -> str:
    value = parameters.get(name, "")
    if len(value) > longest:
        raise InvalidRequestError(f"The {name} has more than {longest} characters.", param=name)
    return value


def _dpop_jkt(parameters: Mapping[str, str]) -> str:
    value = parameters.get("dpop_jkt", "")
    if value and not _THUMBPRINT.fullmatch(value):
        raise InvalidRequestError("The dpop_jkt is no SHA-256 thumbprint.", param="dpop_jkt")
    return value


def check_pushed(app: App, *, was_pushed: bool) -> None:
    """UnauthorizedClientError for an app that must push what it asks, and did not (RFC 9126 section 6)."""
    if app.require_par and not was_pushed:
        raise UnauthorizedClientError("This app must use pushed authorization requests.")
