"""Consent: what is asked of a person, when it needs no asking again, and what it makes of a grant."""

from datetime import UTC, datetime, timedelta

import msgspec

from common.contracts.identity import SessionFound
from common.kit.ids import uuid7
from oauth.domain.grants import Grant, Spending
from oauth.domain.scopes import SPENDING

TICKET_LIFETIME = timedelta(minutes=15)
"""To sign in, read and decide."""
_CLOCKS_DIFFER = timedelta(minutes=1)
"""The gateway notes when a person signed in, on its own clock."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A request for consent that waits for its person.

    `kind` names who completes it once decided (`Parts.completions`), `state` is the completer's own. `app` is
    App.id. `asked` is what the app proposes to spend, None without a proposal. `may_skip`: a person who
    allowed all of it before need not see the page. `max_age_s`: how long before `asked_at` the person may
    have signed in; who did so earlier does it again, in another session than `session_before`. `subject` is
    the app's name for the one person it wants, empty for anybody. `returns_to` names the place where the
    person goes on, for people; `form_targets` are the CSP sources that the browser may be sent to then.
    `for_device`: not this browser asks, but a device whose code the person entered.
    """

    kind: str
    app: str
    scopes: tuple[str, ...]
    state: str
    asked: Spending | None = None
    nonce: str = ""
    may_skip: bool = False
    max_age_s: int | None = None
    asked_at: datetime | None = None
    session_before: str = ""
    subject: str = ""
    login_hint: str = ""
    returns_to: str = ""
    form_targets: tuple[str, ...] = ()
    for_device: bool = False

    @property
    def is_spending(self) -> bool:
        """Whether the person must say how much at most."""
        return not SPENDING.isdisjoint(self.scopes)


def signed_in_at(session: SessionFound) -> datetime:
    """When the person proved who they are."""
    return datetime.fromtimestamp(session.auth_time_s, UTC)


def is_fresh(ticket: Ticket, session: SessionFound) -> bool:
    """Whether the sign-in is as recent as the app asked (OpenID Connect Core 3.1.2.1: prompt, max_age).

    Counted from when it asked, so that nobody reads and decides too slowly, and signing in always satisfies.
    """
    asked_at, max_age_s, since = ticket.asked_at, ticket.max_age_s, signed_in_at(session)
    if max_age_s is None or asked_at is None or since >= asked_at - timedelta(seconds=max_age_s):
        return True
    return session.session != ticket.session_before and since >= asked_at - _CLOCKS_DIFFER


def covers(grant: Grant, ticket: Ticket, now: datetime) -> bool:
    """Whether the person allowed all of this before: no new scope, no more money, no later end."""
    if _has_ended(grant, now) or not set(ticket.scopes) <= set(grant.scopes):
        return False
    asked, has = ticket.asked, grant.spending
    if asked is None:
        return True
    return (
        (asked.period, asked.timezone) == (has.period, has.timezone)
        and _within(asked.limit_nano, has.limit_nano)
        and _within(asked.max_charge_nano, has.max_charge_nano)
        and (asked.expires_at is None or has.expires_at is None or asked.expires_at <= has.expires_at)
    )


def agree(grant: Grant | None, ticket: Ticket, user: str, spending: Spending | None, now: datetime) -> Grant:
    """The grant after consent: what was allowed before stays allowed, `spending` is what was just entered.

    A grant whose time was over begins anew, under its old id: what was spent counts on.
    """
    if grant is None:
        return Grant(uuid7(), ticket.app, user, ticket.scopes, spending or Spending(), now, now)
    before: tuple[str, ...] = () if _has_ended(grant, now) else grant.scopes
    kept = Spending() if _has_ended(grant, now) else grant.spending
    scopes = tuple(dict.fromkeys((*before, *ticket.scopes)))
    changed = msgspec.structs.replace(grant, scopes=scopes, spending=spending or kept)
    return grant if changed == grant else msgspec.structs.replace(changed, updated_at=now)


def _has_ended(grant: Grant, now: datetime) -> bool:
    return grant.spending.expires_at is not None and grant.spending.expires_at <= now


def _within(asked_nano: int | None, allowed_nano: int | None) -> bool:
    return asked_nano is None or allowed_nano is None or asked_nano <= allowed_nano
