"""Ask a person, carry out what they decide.

A request for consent waits as a ticket. Until somebody who is signed in comes with it nothing is stored: it
is in its own address, sealed, so that whoever asks without an end takes no room. From then on it is a row.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime

import msgspec

from common.contracts.identity import SessionFound
from common.contracts.oauth import GrantCreated, GrantUpdated
from common.kit.ids import uuid7
from oauth.domain.apps import App
from oauth.domain.consents import TICKET_LIFETIME, Ticket, agree, covers, is_fresh, signed_in_at
from oauth.domain.errors import (
    ConsentRequiredError,
    InteractionRequiredError,
    LoginRequiredError,
    UnauthorizedClientError,
    UnknownTicketError,
)
from oauth.domain.grants import Grant, Person, Spending
from oauth.domain.ports import Clock, Completion, Decision, OAuthTransaction, Seals, Store
from oauth.domain.subjects import pairwise_subject
from oauth.domain.terms import Terms, read_terms
from oauth.domain.tokens import FAMILY_LIFETIME, Digester, Family
from oauth.usecases.grants import record_grant

CONSENT_PATH = "/oauth/consent"
_SEALED = "sealed."
_OF = "ticket"


class _Waiting(msgspec.Struct, frozen=True):
    """A ticket that is not stored."""

    ticket: Ticket
    expires_at: datetime


class Shown(msgspec.Struct, frozen=True):
    """What the page shows: who asks for what, and what the person allowed that app before.

    `owner` is the e-mail address of whose app it is, empty for an app of the operator.
    """

    ticket: Ticket
    app: App
    owner: str
    grant: Grant | None


class SignIn(msgspec.Struct, frozen=True):
    """The person must sign in first; `again` even if somebody is signed in already."""

    again: bool
    login_hint: str


class Consents:
    """The use-cases of consent over one storage and one clock; `completions` by the ticket's kind."""

    def __init__(
        self,
        store: Store,
        seals: Seals,
        digester: Digester,
        clock: Clock,
        completions: Mapping[str, Completion],
    ) -> None:
        self._store = store
        self._seals = seals
        self._digester = digester
        self._clock = clock
        self._completions = completions

    async def begin(self, ticket: Ticket, session: SessionFound | None, *, silent: bool = False) -> str:
        """Where to send the browser: on, when the person allowed all of it before, else to the page.

        `silent`: LoginRequiredError, ConsentRequiredError or InteractionRequiredError instead of the page.
        """
        async with self._store.transaction() as work:
            app = await _live_app(work, ticket.app)
            if session is not None and self._suits(ticket, app, session):
                if target := await self._skip(work, ticket, app, session):
                    return target
                if silent:
                    raise _needs_page(ticket)
            elif silent:
                raise LoginRequiredError("The person is not signed in, not recently enough, or another.")
            waiting = _Waiting(ticket, self._clock() + TICKET_LIFETIME)
            if session is None:
                return f"{CONSENT_PATH}?request={self._seal(waiting)}"
            secret = secrets.token_urlsafe(32)
            await self._add(work, waiting, secret)
            return f"{CONSENT_PATH}?request={secret}"

    async def show(self, secret: str, session: SessionFound | None) -> Shown | SignIn | str:
        """The page, or what comes before it, or where to go on when nothing needs to be asked.

        From now on only this session can decide. UnknownTicketError for a ticket that is used or expired.
        """
        now, digest = self._clock(), self._digester.digest(secret)
        waiting = self._open(secret, now)
        if session is None and waiting is not None:
            return SignIn(again=False, login_hint=waiting.ticket.login_hint)
        async with self._store.transaction() as work:
            if session is None:
                ticket = _ticket(await work.requests.look("consent", digest, now))
                return SignIn(again=False, login_hint=ticket.login_hint)
            if waiting is not None and await work.use_proof(digest, waiting.expires_at):
                await _live_app(work, waiting.ticket.app)
                await self._add(work, waiting, secret)
            ticket = _ticket(await work.requests.bind("consent", digest, now, session.session))
            app = await _live_app(work, ticket.app)
            if not self._suits(ticket, app, session):
                return await self._turn_away(work, ticket, app, session, digest)
            if target := await self._skip(work, ticket, app, session, digest):
                return target
            owner = None if app.owner is None else await work.people.get(app.owner)
            email = "" if owner is None else owner.email
            return Shown(ticket, app, email, await work.grants.find_live(app.id, session.user))

    async def allow(self, secret: str, session: SessionFound, terms: Terms) -> str:
        """Grant what is asked, within what was entered; where to send the browser.

        TermsError leaves the ticket as it was. UnknownTicketError when it was decided, has expired, or was
        last shown in another session. Of many at once one counts.
        """
        now = self._clock()
        async with self._store.transaction() as work:
            ticket, app = await self._take(work, secret, session)
            spending = read_terms(terms, now) if ticket.is_spending else None
            return await self._complete(work, ticket, app, session, spending)

    async def deny(self, secret: str, session: SessionFound) -> str:
        """Tell the app no; where to send the browser. UnknownTicketError as `allow`."""
        async with self._store.transaction() as work:
            ticket, app = await self._take(work, secret, session)
            return await self._completions[ticket.kind](work, Decision(app, ticket.state))

    def _seal(self, waiting: _Waiting) -> str:
        sealed = self._seals.seal(_OF, msgspec.json.encode(waiting))
        return _SEALED + urlsafe_b64encode(sealed).decode().rstrip("=")

    def _open(self, secret: str, now: datetime) -> _Waiting | None:
        """What was sealed into the address, None for another address and after its time."""
        if not secret.startswith(_SEALED):
            return None
        text = secret.removeprefix(_SEALED)
        try:
            plain = self._seals.open(_OF, urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError:
            return None
        waiting = msgspec.json.decode(plain, type=_Waiting)
        return waiting if waiting.expires_at > now else None

    async def _add(self, work: OAuthTransaction, waiting: _Waiting, secret: str) -> None:
        digest, text = self._digester.digest(secret), msgspec.json.encode(waiting.ticket).decode()
        await work.requests.add("consent", digest, waiting.ticket.app, text, waiting.expires_at)

    async def _take(self, work: OAuthTransaction, secret: str, session: SessionFound) -> tuple[Ticket, App]:
        digest = self._digester.digest(secret)
        ticket = _ticket(await work.requests.take("consent", digest, self._clock(), session.session))
        app = await _live_app(work, ticket.app)
        if not self._suits(ticket, app, session):
            raise UnknownTicketError("Sign in again first.")
        return ticket, app

    def _suits(self, ticket: Ticket, app: App, session: SessionFound) -> bool:
        """Whether the person has signed in lately enough, and is whom the app asked for (OpenID Connect Core
        3.1.2.1: id_token_hint).
        """
        if ticket.subject and ticket.subject != pairwise_subject(self._digester, app.client_id, session.user):
            return False
        return is_fresh(ticket, session)

    async def _turn_away(
        self, work: OAuthTransaction, ticket: Ticket, app: App, session: SessionFound, digest: bytes
    ) -> SignIn | str:
        """To sign in again; the app hears of who did so for this request and is another person."""
        if session.session == ticket.session_before or not is_fresh(ticket, session):
            return SignIn(again=True, login_hint=ticket.login_hint)
        _ticket(await work.requests.take("consent", digest, self._clock(), session.session))
        decision = Decision(app, ticket.state, refusal=LoginRequiredError("Another person signed in."))
        return await self._completions[ticket.kind](work, decision)

    async def _skip(
        self,
        work: OAuthTransaction,
        ticket: Ticket,
        app: App,
        session: SessionFound,
        digest: bytes | None = None,
    ) -> str | None:
        """Go on without the page, when the person allowed all of it before; uses the ticket up."""
        if not ticket.may_skip:
            return None
        now = self._clock()
        grant = await work.grants.find_live(app.id, session.user)
        if grant is None or not covers(grant, ticket, now):
            return None
        if digest is not None:
            _ticket(await work.requests.take("consent", digest, now, session.session))
        return await self._complete(work, ticket, app, session, None)

    async def _complete(
        self,
        work: OAuthTransaction,
        ticket: Ticket,
        app: App,
        session: SessionFound,
        spending: Spending | None,
    ) -> str:
        person = Person(session.user, session.account, session.email)
        await work.people.put(person)
        auth_time = signed_in_at(session)
        grant, family = await agree_to(work, app, ticket, person, spending, auth_time, self._clock())
        return await self._completions[ticket.kind](work, Decision(app, ticket.state, grant, family))


async def agree_to(
    work: OAuthTransaction,
    app: App,
    ticket: Ticket,
    person: Person,
    spending: Spending | None,
    auth_time: datetime,
    now: datetime,
) -> tuple[Grant, Family]:
    """Make or change the grant of a person who is stored, tell it, and begin a family of tokens."""
    before = await work.grants.find_live(app.id, person.user)
    grant = agree(before, ticket, person.user, spending, now)
    if before is None:
        await work.grants.add(grant)
        await record_grant(work, GrantCreated, grant, app, person.account)
    elif grant != before:
        await work.grants.update(grant)
        await record_grant(work, GrantUpdated, grant, app, person.account)
    family = Family(
        id=uuid7(),
        grant=grant.id,
        scopes=ticket.scopes,
        auth_time=auth_time,
        created_at=now,
        expires_at=now + FAMILY_LIFETIME,
        nonce=ticket.nonce,
    )
    await work.tokens.add_family(family)
    return grant, family


async def _live_app(work: OAuthTransaction, app: str) -> App:
    found = await work.apps.get(app)
    if found is None or found.disabled_at is not None:
        raise UnauthorizedClientError("The app is no longer there.")
    return found


def _ticket(text: str | None) -> Ticket:
    if text is None:
        raise UnknownTicketError("This request was answered already, or has expired.")
    return msgspec.json.decode(text, type=Ticket)


def _needs_page(ticket: Ticket) -> Exception:
    if not ticket.may_skip:
        return InteractionRequiredError("This app may not sign people in without a page.")
    return ConsentRequiredError("The person has not allowed all of this yet.")
