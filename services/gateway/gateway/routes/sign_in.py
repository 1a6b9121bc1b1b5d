"""/login: the page where people sign in with e-mail address and password, and sign out."""

import secrets
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromQuery

from common.contracts.errors import ForbiddenError, ServiceError
from gateway.domain.sessions import (
    LIFETIME,
    NotSignedInError,
    SessionTokens,
    TooManyFailuresError,
    WrongPasswordError,
)
from gateway.routes.pages import Words, render, words_for
from gateway.usecases.sessions import Sessions

HOME = "/login"
_FORM_S = 3600
_MAX_PASSWORD = 1024
_PAGE = "sign_in.html"


class CookieNames(msgspec.Struct, frozen=True):
    """Names and safety of the cookies: over https they carry the prefix that binds them to this host.

    RFC 6265bis section 4.1.3.2; a laptop without TLS has neither the prefix nor `Secure`.
    """

    secure: bool

    @property
    def session(self) -> str:
        """Of the session's token."""
        return f"{'__Host-' if self.secure else ''}tollway_session"

    @property
    def form(self) -> str:
        """Of the secret that a sign-in form must match."""
        return f"{'__Host-' if self.secure else ''}tollway_form"

    def make(self, name: str, value: str, max_age_s: int) -> Cookie:
        """HttpOnly, SameSite=Lax; 0 seconds removes it."""
        return Cookie(
            key=name,
            value=value,
            max_age=max_age_s,
            path="/",
            httponly=True,
            secure=self.secure,
            samesite="lax",
        )


class SignInForm(msgspec.Struct, frozen=True):
    """What the page sends."""

    csrf: str = ""
    email: str = ""
    password: str = ""
    next: str = HOME


class SignOutForm(msgspec.Struct, frozen=True):
    """What the button sends."""

    csrf: str = ""
    next: str = HOME
    """Where whoever signs in next goes on to."""


class SignInController(Controller):
    """The sign-in page, its form, and the way out."""

    path = "/login"
    include_in_schema = False

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        sessions: NamedDependency[Sessions],
        tokens: NamedDependency[SessionTokens],
        cookie_names: NamedDependency[CookieNames],
        next: FromQuery[str] = HOME,  # noqa: A002  the parameter's name
        login_hint: FromQuery[str] = "",
        *,
        again: FromQuery[bool] = False,
    ) -> Response[str]:
        """The form, which proposes `login_hint`; who is signed in goes on to `next`, a path of this host.

        `again`: who is signed in must prove it once more.
        """
        words = words_for(request.headers.get("accept-language", ""))
        target = local_path(next)
        token = request.cookies.get(cookie_names.session, "")
        try:
            found = await sessions.find(token)
        except NotSignedInError:
            return _form(words, cookie_names, tokens, 200, target, login_hint)
        if again:
            return _form(words, cookie_names, tokens, 200, target, login_hint or found.user.email)
        if target != HOME:
            return _redirect(target)
        return render(_PAGE, 200, words, email=found.user.email, csrf=tokens.csrf(token))

    @post()
    async def sign_in(
        self,
        request: Request[Any, Any, Any],
        sessions: NamedDependency[Sessions],
        tokens: NamedDependency[SessionTokens],
        cookie_names: NamedDependency[CookieNames],
        data: Annotated[SignInForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[str]:
        """Sets the session cookie and goes on to `next`, or shows the form again with what is wrong."""
        words = words_for(request.headers.get("accept-language", ""))
        target = local_path(data.next)
        secret = request.cookies.get(cookie_names.form, "")
        if not (secret and tokens.is_csrf(secret, data.csrf) and is_same_origin(request)):
            return _form(words, cookie_names, tokens, 403, target, data.email, words.stale)
        address = str(request.scope["state"].get("client_address", ""))
        try:
            token, _ = await sessions.sign_in(data.email, data.password[:_MAX_PASSWORD], address)
        except (WrongPasswordError, TooManyFailuresError) as error:
            return _form(words, cookie_names, tokens, error.status, target, data.email, _told(words, error))
        await sessions.sign_out(request.cookies.get(cookie_names.session, ""))  # one session a browser
        response = _redirect(target)
        response.set_cookie(cookie_names.make(cookie_names.session, token, int(LIFETIME.total_seconds())))
        response.set_cookie(cookie_names.make(cookie_names.form, "", 0))
        return response

    @post("/end")
    async def sign_out(
        self,
        request: Request[Any, Any, Any],
        sessions: NamedDependency[Sessions],
        tokens: NamedDependency[SessionTokens],
        cookie_names: NamedDependency[CookieNames],
        data: Annotated[SignOutForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[str]:
        """End the session on the server and in the browser; then the sign-in page, which leads to `next`."""
        token = request.cookies.get(cookie_names.session, "")
        if token:
            if not (tokens.is_csrf(token, data.csrf) and is_same_origin(request)):
                raise ForbiddenError("This form was not sent from its own page.", code="csrf")
            await sessions.sign_out(token)
        target = local_path(data.next)
        response = _redirect(HOME if target == HOME else f"{HOME}?{urlencode({'next': target})}")
        response.set_cookie(cookie_names.make(cookie_names.session, "", 0))
        return response


def local_path(target: str) -> str:
    """`target` if it is a path of this host, else the sign-in page (RFC 9700 section 4.11)."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    parts = urlsplit(target) if plain else None
    if parts is None or parts.scheme or parts.netloc or not target.startswith("/") or target[:2] == "//":
        return HOME
    return target


def is_same_origin(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser says that a page of this host sent the form, or says nothing (Fetch metadata)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def _form(
    words: Words,
    cookie_names: CookieNames,
    tokens: SessionTokens,
    status: int,
    target: str,
    given: str = "",
    error: str = "",
) -> Response[str]:
    secret = secrets.token_urlsafe(32)
    response = render(
        _PAGE, status, words, email="", csrf=tokens.csrf(secret), next=target, given=given[:255], error=error
    )
    response.set_cookie(cookie_names.make(cookie_names.form, secret, _FORM_S))
    return response


def _redirect(target: str) -> Response[str]:
    return Response("", status_code=303, headers={"location": target, "cache-control": "no-store"})


def _told(words: Words, error: ServiceError) -> str:
    if isinstance(error, TooManyFailuresError):
        return words.too_many.format(seconds=int(error.retry_after_s or 0))
    return words.wrong
