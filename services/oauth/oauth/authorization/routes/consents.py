"""/oauth/consent: what an app asks, told to the person who decides."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency

from common.contracts.identity import SessionFound
from oauth.authorization.routes.pages import PAGES, ConsentWords, consent_words
from oauth.domain.errors import UnknownTicketError
from oauth.domain.ports import Browsers
from oauth.domain.terms import DEFAULT, PERIODS, Terms, TermsError, terms_of
from oauth.routes.forms import read_form
from oauth.routes.pages.errors import page_handlers
from oauth.routes.pages.money import host_of, tell_spending, zones_with
from oauth.routes.pages.sessions import (
    SessionCookie,
    check_csrf,
    language_for,
    redirect,
    sign_in_first,
    signed_in,
)
from oauth.routes.pages.words import common_words
from oauth.usecases.consents import CONSENT_PATH, Consents, Shown, SignIn


class ConsentController(Controller):
    """The page and its form."""

    path = CONSENT_PATH
    exception_handlers = page_handlers

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        consents: NamedDependency[Consents],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """The page; 303 to sign in before it, and a page that leads on when nothing needs to be asked."""
        secret = request.query_params.get("request", "")
        session = await signed_in(request, browsers, session_cookie)
        shown = await consents.show(secret, session)
        return _answer(request, secret, session, shown)

    @post()
    async def decide(
        self,
        request: Request[Any, Any, Any],
        consents: NamedDependency[Consents],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """303 to the app; the page again, with what was entered, when a field is wrong."""
        form = await read_form(request)
        secret = form.get("request", "")
        session = await signed_in(request, browsers, session_cookie)
        if session is None:
            return sign_in_first(_path(secret))
        check_csrf(session, form.get("csrf", ""))
        if form.get("decision") != "allow":
            return redirect(await consents.deny(secret, session))
        terms = msgspec.convert({name: form.get(name, "") for name in Terms.__struct_fields__}, Terms)
        try:
            return redirect(await consents.allow(secret, session, terms))
        except TermsError as error:
            shown = await consents.show(secret, session)
            return _answer(request, secret, session, shown, terms, error.faults)


def _answer(
    request: Request[Any, Any, Any],
    secret: str,
    session: SessionFound | None,
    shown: Shown | SignIn | str,
    terms: Terms | None = None,
    faults: dict[str, str] | None = None,
) -> Response[str]:
    if isinstance(shown, str):
        # No redirect: the form of the sign-in page led here, and its CSP lets it lead to this host only.
        language = language_for(request)
        return PAGES.render("onward.html", language, words=consent_words(language), target=shown)
    if isinstance(shown, SignIn):
        return sign_in_first(_path(secret), again=shown.again, login_hint=shown.login_hint)
    if session is None:
        raise UnknownTicketError("Nobody is signed in.")
    return _page(request, secret, session, shown, terms or _proposed(shown), faults or {})


def _page(
    request: Request[Any, Any, Any],
    secret: str,
    session: SessionFound,
    shown: Shown,
    terms: Terms,
    faults: dict[str, str],
) -> Response[str]:
    language = language_for(request)
    words, common = consent_words(language), common_words(language)
    before = None if shown.grant is None else shown.grant.spending
    return PAGES.render(
        "consent.html",
        language,
        400 if faults else 200,
        form_targets=shown.ticket.form_targets,
        words=words,
        shown=shown,
        session=session,
        secret=secret,
        action=CONSENT_PATH,
        next=_path(secret),
        publisher=_publisher(words, shown),
        homepage=host_of(shown.app.homepage),
        asks=tell_spending(shown.ticket.asked, common),
        allowed_before=tell_spending(before, common),
        terms=terms,
        periods=PERIODS,
        zones=zones_with(terms.timezone),
        faults=faults,
        first=next(iter(faults), ""),
    )


def _proposed(shown: Shown) -> Terms:
    """What the person entered the last time, else what the app asks, else the default."""
    before = None if shown.grant is None else shown.grant.spending
    if before is not None and before.limit_nano is not None:
        return terms_of(before)
    return terms_of(shown.ticket.asked or DEFAULT)


def _publisher(words: ConsentWords, shown: Shown) -> str:
    if shown.app.is_unregistered:
        return words.by_nobody.format(origin=shown.ticket.returns_to)
    if shown.app.owner is None:
        return words.by_operator
    return words.by_owner.format(owner=shown.owner) if shown.owner else words.by_third_party


def _path(secret: str) -> str:
    return f"{CONSENT_PATH}?request={secret}"
