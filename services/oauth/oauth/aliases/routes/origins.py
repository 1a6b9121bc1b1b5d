"""OpenRouter's flow: /auth for browsers, /api/v1/auth/keys for apps, and for people with a key."""

import logging
from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from common.contracts.errors import ServiceError
from common.contracts.principals import BudgetPeriod, Principal
from oauth.aliases.routes.bodies import read_body, text_of
from oauth.aliases.usecases.origins import Allowed, KeyFlow, KeyMade
from oauth.domain.details import parse_amount
from oauth.domain.errors import InvalidRequestError
from oauth.domain.grants import Person, Spending
from oauth.domain.ports import Browsers
from oauth.domain.terms import DEFAULT
from oauth.routes.errors import NO_STORE
from oauth.routes.forms import parse_parameters
from oauth.routes.pages.errors import page_handlers
from oauth.routes.pages.sessions import SessionCookie, redirect, sign_in_first, signed_in
from oauth.routes.principals import ManagementController

AUTH_PATH = "/auth"
KEYS_PATH = "/api/v1/auth/keys"
_PERIODS: dict[str | None, BudgetPeriod] = {
    None: "total",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
}
_LOG = logging.getLogger(__name__)


def _error(_: Request[Any, Any, Any], error: ServiceError) -> Response[dict[str, object]]:
    """`{"error": {"code": status, "message"}}`."""
    body: dict[str, object] = {"error": {"code": error.error_status, "message": error.message}}
    return Response(body, status_code=error.error_status, headers=NO_STORE)


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, object]]:
    return _error(request, InvalidRequestError("The request is malformed.", status=error.status_code))


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, object]]:
    _LOG.error("unhandled error on %s", request.url.path, exc_info=error)
    return _error(request, ServiceError("Internal error."))


_HANDLERS: ExceptionHandlersMap = {
    ServiceError: _error,
    HTTPException: _http_error,
    Exception: _unexpected,
}


class CodeRequest(msgspec.Struct, frozen=True):
    """Body of POST keys/code; `limit` is USD; other fields are not used."""

    callback_url: str
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    limit: str | None = None
    usage_limit_type: Literal["daily", "weekly", "monthly"] | None = None
    expires_at: datetime | None = None


class CodeAnswer(msgspec.Struct, frozen=True):
    """What POST keys/code answers."""

    data: Allowed


class AuthController(Controller):
    """Where an app sends its person's browser."""

    path = AUTH_PATH
    include_in_schema = False
    exception_handlers = page_handlers

    @get()
    async def begin(
        self,
        request: Request[Any, Any, Any],
        key_flow: NamedDependency[KeyFlow],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """303 to the consent page, after signing in; a page for what is not safe, and nobody is sent on."""
        query: bytes = request.scope["query_string"]
        parameters = parse_parameters(query)
        callback_url = parameters.get("callback_url", "")
        challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method")
        key_flow.check(callback_url, challenge, method)
        session = await signed_in(request, browsers, session_cookie)
        if session is None:
            return sign_in_first(f"{AUTH_PATH}?{query.decode('ascii')}")
        return redirect(await key_flow.begin(callback_url, challenge, method, session))


class ExchangeController(Controller):
    """Where an app changes its code for a key."""

    path = KEYS_PATH
    exception_handlers = _HANDLERS

    @post(status_code=200)
    async def exchange(
        self, request: Request[Any, Any, Any], key_flow: NamedDependency[KeyFlow]
    ) -> Response[KeyMade]:
        """400 for what cannot be, 403 for a code or verifier that is wrong."""
        body = await read_body(request)
        code, verifier = text_of(body, "code"), text_of(body, "code_verifier")
        if code is None or verifier is None:
            raise InvalidRequestError("code and code_verifier are needed.")
        if text_of(body, "code_challenge_method") not in (None, "S256"):
            raise InvalidRequestError("The code_challenge_method is S256.", param="code_challenge_method")
        return Response(await key_flow.exchange(code, verifier), headers=NO_STORE)


class AllowController(ManagementController):
    """Where a person, by a key of their own, allows an app without a page."""

    path = f"{KEYS_PATH}/code"
    exception_handlers = _HANDLERS

    @post(status_code=200)
    async def allow(
        self,
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        key_flow: NamedDependency[KeyFlow],
    ) -> Response[CodeAnswer]:
        """A code for the app, within the limit; without one what the consent page would propose."""
        try:
            data = msgspec.convert(await read_body(request), CodeRequest, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"The body is wrong: {error}") from error
        person = Person(principal.user, principal.account)
        allowed = await key_flow.allow(
            person, data.callback_url, data.code_challenge, data.code_challenge_method, _spending(data)
        )
        return Response(CodeAnswer(allowed), headers=NO_STORE)


def _spending(asked: CodeRequest) -> Spending:
    if asked.expires_at is not None and asked.expires_at.tzinfo is None:
        raise InvalidRequestError("expires_at needs an offset.", param="expires_at")
    if asked.limit is None:
        return msgspec.structs.replace(DEFAULT, expires_at=asked.expires_at)
    try:
        limit_nano = parse_amount(asked.limit)
    except ValueError:
        raise InvalidRequestError("limit is USD from 0.01 to 1000000.", param="limit") from None
    return Spending(limit_nano, _PERIODS[asked.usage_limit_type], expires_at=asked.expires_at)
