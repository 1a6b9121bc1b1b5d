"""/oauth/device_authorization for devices, /oauth/device for their people (RFC 8628)."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency

from common.contracts.errors import ServiceError
from common.contracts.identity import SessionFound
from oauth.devices.domain.devices import (
    LIFETIME,
    TooManyGuessesError,
    UnknownUserCodeError,
    read_user_code,
)
from oauth.devices.routes.pages import PAGES, DeviceWords, device_words
from oauth.devices.usecases.devices import ALLOWED, DENIED, PAGE, DeviceFlow
from oauth.domain.ports import Browsers
from oauth.routes.errors import NO_STORE, oauth_handlers
from oauth.routes.forms import parse_parameters, read_form
from oauth.routes.pages.errors import page_handlers
from oauth.routes.pages.sessions import (
    SessionCookie,
    check_csrf,
    language_for,
    redirect,
    sign_in_first,
    signed_in,
)
from oauth.usecases.clients import ClientAuthenticator
from oauth.usecases.consents import Consents


class DeviceAnswer(msgspec.Struct, frozen=True):
    """RFC 8628 section 3.2; seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class DeviceAuthorizationController(Controller):
    """Where a device begins."""

    path = "/oauth/device_authorization"
    exception_handlers = oauth_handlers

    @post(status_code=200)
    async def begin(
        self,
        request: Request[Any, Any, Any],
        clients: NamedDependency[ClientAuthenticator],
        device_flow: NamedDependency[DeviceFlow],
    ) -> Response[DeviceAnswer]:
        """Authenticates the app as the token endpoint does."""
        form = await read_form(request)
        app = await clients.authenticate(form, request.headers)
        begun = await device_flow.begin(app, form.get("scope", ""), form.get("authorization_details", ""))
        answer = DeviceAnswer(
            begun.device_code,
            begun.user_code,
            begun.page,
            f"{begun.page}?user_code={begun.user_code}",
            int(LIFETIME.total_seconds()),
            begun.device.interval_s,
        )
        return Response(answer, headers=NO_STORE)


class DevicePageController(Controller):
    """Where a person types what the device shows, and what they are told at the end."""

    path = PAGE
    include_in_schema = False
    exception_handlers = page_handlers

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """The form. A code in the address is filled in, never sent by itself: the person compares first."""
        given = read_user_code(parse_parameters(request.scope["query_string"]).get("user_code", "")) or ""
        path = f"{PAGE}?user_code={given}" if given else PAGE
        session = await signed_in(request, browsers, session_cookie)
        if session is None:
            return sign_in_first(path)
        return _form(request, session, path, given)

    @post()
    async def enter(
        self,
        request: Request[Any, Any, Any],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
        device_flow: NamedDependency[DeviceFlow],
        consents: NamedDependency[Consents],
    ) -> Response[str]:
        """On to the consent page, or the form again with what is wrong."""
        form = await read_form(request)
        session = await signed_in(request, browsers, session_cookie)
        if session is None:
            return sign_in_first(PAGE)
        check_csrf(session, form.get("csrf", ""))
        typed = form.get("user_code", "")[:64]
        try:
            ticket = await device_flow.find(session.user, typed)
        except (UnknownUserCodeError, TooManyGuessesError) as error:
            return _form(request, session, PAGE, typed, error)
        return redirect(await consents.begin(ticket, session))

    @get(f"/{ALLOWED}")
    async def show_allowed(self, request: Request[Any, Any, Any]) -> Response[str]:
        """The device goes on by itself."""
        words = device_words(language_for(request))
        return PAGES.render("decided.html", words.language, title=words.allowed_title, what=words.allowed)

    @get(f"/{DENIED}")
    async def show_denied(self, request: Request[Any, Any, Any]) -> Response[str]:
        """Nothing was granted."""
        words = device_words(language_for(request))
        return PAGES.render("decided.html", words.language, title=words.denied_title, what=words.denied)


def _form(
    request: Request[Any, Any, Any],
    session: SessionFound,
    path: str,
    given: str,
    error: ServiceError | None = None,
) -> Response[str]:
    words = device_words(language_for(request))
    return PAGES.render(
        "device.html",
        words.language,
        200 if error is None else error.error_status,
        words=words,
        session=session,
        next=path,
        given=given,
        error="" if error is None else _told(words, error),
    )


def _told(words: DeviceWords, error: ServiceError) -> str:
    if isinstance(error, TooManyGuessesError):
        return words.too_many.format(minutes=-(-int(error.retry_after_s or 0) // 60) or 1)
    return words.unknown
