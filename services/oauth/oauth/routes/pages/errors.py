"""Errors on pages: people are told what happened and what to do, developers get the code."""

from typing import Any

from litestar import Request, Response
from litestar.types import ExceptionHandlersMap

from common.contracts.errors import ServiceError
from oauth.domain.errors import StaleFormError, UnknownTicketError
from oauth.routes.pages import PAGES
from oauth.routes.pages.sessions import language_for
from oauth.routes.pages.words import CommonWords, common_words


def error_page(request: Request[Any, Any, Any], error: ServiceError) -> Response[str]:
    """The page that takes the place of an answer; it leads nowhere, least of all to an address given."""
    language = language_for(request)
    title, what = _told(common_words(language), error)
    code, detail = error.error_code, error.message
    return PAGES.render(
        "error.html", language, error.error_status, title=title, what=what, code=code, detail=detail
    )


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


page_handlers: ExceptionHandlersMap = {ServiceError: error_page}
"""For controllers that answer with pages."""
