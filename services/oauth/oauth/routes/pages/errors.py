"""Errors on pages: people are told what happened and what to do, developers get the code."""

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from common.contracts.errors import ServiceError
from oauth.domain.errors import InvalidRequestError, StaleFormError, UnknownTicketError
from oauth.routes.pages import PAGES
from oauth.routes.pages.sessions import language_for
from oauth.routes.pages.words import CommonWords, common_words

_LOG = logging.getLogger(__name__)


def error_page(request: Request[Any, Any, Any], error: ServiceError) -> Response[str]:
    """The page that takes the place of an answer; it leads nowhere, least of all to an address given."""
    language = language_for(request)
    title, what = _told(common_words(language), error)
    code, detail = error.error_code, error.message
    # 401 asks a browser for credentials that no page could take (RFC 9110 section 15.5.2).
    status = 400 if error.error_status == 401 else error.error_status
    return PAGES.render("error.html", language, status, title=title, what=what, code=code, detail=detail)


def _told(words: CommonWords, error: ServiceError) -> tuple[str, str]:
    if isinstance(error, UnknownTicketError):
        return words.expired_title, words.expired
    if isinstance(error, StaleFormError):
        return words.expired_title, words.stale
    if error.error_status >= 500:
        return words.later_title, words.later
    if error.error_code in ("unauthorized_client", "invalid_client"):
        return words.error_title, words.unknown_app
    return words.error_title, words.wrong_request


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    _LOG.error("unhandled error on %s", request.url.path, exc_info=error)
    return error_page(request, ServiceError("Internal error."))


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
    if error.status_code >= 500:
        return _unexpected(request, error)
    return error_page(request, InvalidRequestError("The request is malformed.", status=error.status_code))


page_handlers: ExceptionHandlersMap = {
    ServiceError: error_page,
    HTTPException: _http_error,
    Exception: _unexpected,
}
"""For controllers that answer with pages."""
