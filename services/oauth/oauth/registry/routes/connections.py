"""/oauth/apps: a person's apps, on a page, and the button that ends what one may do."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from common.contracts.errors import NotFoundError
from common.kit.money import format_usd
from oauth.domain.apps import App
from oauth.domain.ports import Browsers
from oauth.domain.scopes import SCOPES
from oauth.registry.routes.pages import PAGES, list_words
from oauth.registry.usecases.grants import GrantDesk, Listed
from oauth.routes.forms import read_form
from oauth.routes.pages.errors import page_handlers
from oauth.routes.pages.money import host_of, tell_spending, tell_time
from oauth.routes.pages.sessions import (
    SessionCookie,
    check_csrf,
    language_for,
    redirect,
    sign_in_first,
    signed_in,
)
from oauth.routes.pages.words import CommonWords, common_words

PATH = "/oauth/apps"
_PAGE = 50


class Row(msgspec.Struct, frozen=True):
    """A grant as the page shows it."""

    id: str
    app: App
    host: str
    scopes: list[str]
    terms: str
    limit: str
    spent: str | None
    since: str
    used: str
    has_ended: bool


class ConnectionController(Controller):
    """The page and its form; a session only: no key and no token opens it."""

    path = PATH
    exception_handlers = page_handlers

    @get()
    async def show(
        self,
        request: Request[Any, Any, Any],
        grant_desk: NamedDependency[GrantDesk],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
        after: FromQuery[UUID | None] = None,
        removed: FromQuery[bool] = False,  # noqa: FBT002  a query parameter
    ) -> Response[str]:
        """What the person who is signed in allows apps; 303 to sign in first."""
        session = await signed_in(request, browsers, session_cookie)
        if session is None:
            return sign_in_first(PATH)
        cursor = None if after is None else str(after)
        found = await grant_desk.list_given(session.user, cursor, _PAGE + 1)
        language = language_for(request)
        common = common_words(language)
        return PAGES.render(
            "apps.html",
            language,
            words=list_words(language),
            session=session,
            next=PATH,
            rows=[_row(listed, common, grant_desk.clock()) for listed in found[:_PAGE]],
            more=found[_PAGE - 1].grant.id if len(found) > _PAGE else "",
            removed=removed,
        )

    @post()
    async def remove(
        self,
        request: Request[Any, Any, Any],
        grant_desk: NamedDependency[GrantDesk],
        browsers: NamedDependency[Browsers],
        session_cookie: NamedDependency[SessionCookie],
    ) -> Response[str]:
        """End the person's grant; pressed twice, or for another's grant, it changes nothing."""
        form = await read_form(request)
        session = await signed_in(request, browsers, session_cookie)
        if session is None:
            return sign_in_first(PATH)
        check_csrf(session, form.get("csrf", ""))
        try:
            await grant_desk.revoke(session.user, str(UUID(form.get("grant", ""))))
        except (NotFoundError, ValueError):
            return redirect(PATH)
        return redirect(f"{PATH}?removed=true")


def _row(listed: Listed, common: CommonWords, now: datetime) -> Row:
    grant, spending = listed.grant, listed.grant.spending
    zone = spending.timezone
    return Row(
        id=grant.id,
        app=listed.app,
        host=host_of(listed.app.homepage),
        scopes=[scope for scope in grant.scopes if scope in SCOPES],
        terms=tell_spending(spending, common),
        limit="" if spending.limit_nano is None else format_usd(spending.limit_nano),
        spent=None if listed.spent_nano is None else format_usd(listed.spent_nano),
        since=tell_time(grant.created_at, zone),
        used="" if listed.used_at in (None, grant.created_at) else tell_time(listed.used_at, zone),
        has_ended=spending.expires_at is not None and spending.expires_at <= now,
    )
