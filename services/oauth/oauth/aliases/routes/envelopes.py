"""OhMyGPT's paths: the pages for browsers, issue-token, and the calls with a token."""

import logging
import re
from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import ExceptionHandlersMap

from common.contracts.errors import NotFoundError, ServiceError
from oauth.aliases.domain.envelopes import CALLS, PREFIX, failure, success
from oauth.aliases.routes.bodies import read_body, text_of
from oauth.aliases.routes.pages import PAGES, copy_words
from oauth.aliases.usecases.envelopes import EnvelopeFlow, ask
from oauth.domain.errors import InvalidRequestError
from oauth.domain.ports import Browsers, Resource
from oauth.domain.tokens import CODE_PREFIX
from oauth.routes.bearers import dpop_headers
from oauth.routes.errors import NO_STORE
from oauth.routes.forms import parse_parameters
from oauth.routes.pages.errors import page_handlers
from oauth.routes.pages.sessions import SessionCookie, language_for, redirect, signed_in
from oauth.usecases.bearers import Bearers

PAGE_PATH = "/next/v1/oauth"
COPY_PATH = f"{PAGE_PATH}/succeed"
_CALLS = {call.path: call for call in CALLS}
_CODE = re.compile(re.escape(CODE_PREFIX) + r"[A-Za-z0-9_-]{43}")
_MAX_KEY = 255
_LOG = logging.getLogger(__name__)


def _failure(_: Request[Any, Any, Any], error: ServiceError) -> Response[dict[str, object]]:
    headers = dict(NO_STORE)
    if error.error_status == 401:
        headers["www-authenticate"] = 'Bearer realm="tollway"'
    return Response(failure(error), status_code=error.error_status, headers=headers)


def _http_failure(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, object]]:
    return _failure(request, InvalidRequestError("The request is malformed.", status=error.status_code))


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, object]]:
    _LOG.error("unhandled error on %s", request.url.path, exc_info=error)
    return _failure(request, ServiceError("Internal error."))


class EnvelopePageController(Controller):
    """Where an app sends its person's browser, and where a code is shown to be copied."""

    path = PAGE_PATH
    include_in_schema = False
    exception_handlers = page_handlers

    @get()
    async def begin(
        self,
        request: Request[Any, Any, Any],
        envelope_flow: NamedDependency[EnvelopeFlow],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """303 to the consent page or on to the app; a page for every fault."""
        parameters = parse_parameters(request.scope["query_string"])
        session = await signed_in(request, browsers, session_cookie)
        return redirect(await envelope_flow.begin(parameters, session))

    @get("/succeed")
    async def show_code(self, request: Request[Any, Any, Any]) -> Response[str]:
        """The code of the address, when it is one: the page is no board for what others write on it."""
        code = parse_parameters(request.scope["query_string"]).get("code", "")
        if not _CODE.fullmatch(code):
            raise InvalidRequestError("There is no code to show.", param="code")
        words = copy_words(language_for(request))
        return PAGES.render("copy.html", words.language, words=words, code=code)


class EnvelopeController(Controller):
    """What apps call by themselves: answers are 200 in the dialect's envelope."""

    path = PREFIX
    exception_handlers: ExceptionHandlersMap = {  # noqa: RUF012  as Litestar declares it
        ServiceError: _failure,
        HTTPException: _http_failure,
        Exception: _unexpected,
    }

    @post("/issue-token", status_code=200)
    async def issue(
        self, request: Request[Any, Any, Any], envelope_flow: NamedDependency[EnvelopeFlow]
    ) -> Response[dict[str, object]]:
        """A token for a code; form or JSON."""
        body = await read_body(request)
        form = {name: text for name in body if (text := text_of(body, name)) is not None}
        issued = await envelope_flow.issue(form, request.headers)
        return Response(success("Issue OAuth Token success", issued), headers=NO_STORE)

    @post("/app/{name:str}", status_code=200)
    async def ask(
        self,
        request: Request[Any, Any, Any],
        bearers: NamedDependency[Bearers],
        resources: NamedDependency[dict[str, Resource]],
        name: FromPath[str],
    ) -> Response[dict[str, object]]:
        """One of CALLS, for the token's person."""
        call = _CALLS.get(name)
        if call is None:
            raise NotFoundError("There is no such call.", code="unknown_url")
        authorization = request.headers.get("authorization")
        proofs = dpop_headers(request.scope)
        token = await bearers.check(authorization, proofs, request.method, request.url.path, call.scope)
        body = await read_body(request)
        key = request.headers.get("idempotency-key") or text_of(body, "idempotency_key") or ""
        body.pop("idempotency_key", None)
        if len(key) > _MAX_KEY:
            raise InvalidRequestError(f"An Idempotency-Key has at most {_MAX_KEY} characters.")
        answer = await ask(resources, call, token, body, key)
        return Response(success(call.message, answer), headers=NO_STORE)
