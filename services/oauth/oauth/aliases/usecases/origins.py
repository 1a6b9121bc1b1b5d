"""Keys for apps that nobody registered, by the flow of OpenRouter."""

from datetime import datetime

import msgspec

from common.contracts.errors import ForbiddenError
from common.contracts.identity import SessionFound
from oauth.aliases.domain.origins import SCOPES, client_id_of, make_app, read_origin
from oauth.aliases.domain.ports import OriginsIn
from oauth.aliases.domain.redirects import add_query
from oauth.domain.apps import App
from oauth.domain.codes import CodeUse, read_challenge
from oauth.domain.consents import Ticket
from oauth.domain.errors import InvalidRequestError, OAuthError
from oauth.domain.grants import Person, Spending
from oauth.domain.ports import Clock, Decision, OAuthTransaction, Store
from oauth.domain.redirects import form_targets
from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import CODE_LIFETIME, FAMILY_LIFETIME, Digester, Family
from oauth.usecases.codes import make_code
from oauth.usecases.consents import Consents, agree_to
from oauth.usecases.exchanges import Exchanges

KIND = "key"
"""Of tickets that are completed by a code for a key."""


class KeyMade(msgspec.Struct, frozen=True):
    """The key, in clear this once, and the app's own name for the person."""

    key: str
    user_id: str


class Allowed(msgspec.Struct, frozen=True):
    """A code, in clear this once, and the app it is for."""

    id: str
    app_id: str
    created_at: datetime


class Callback(msgspec.Struct, frozen=True):
    """Where the browser goes once the person has decided; the `state` of a ticket."""

    url: str
    challenge: str


class KeyFlow:
    """The use-cases of the flow over one storage and one clock."""

    def __init__(
        self, store: Store, origins_in: OriginsIn, consents: Consents, digester: Digester, clock: Clock
    ) -> None:
        self._store = store
        self._origins_in = origins_in
        self._consents = consents
        self._digester = digester
        self._clock = clock
        self._exchanges = Exchanges(store, digester, clock)

    def check(self, callback_url: str, challenge: str | None, method: str | None) -> None:
        """InvalidRequestError as `begin`, before anybody is asked to sign in."""
        read_origin(callback_url)
        read_challenge(challenge, method)

    async def begin(
        self, callback_url: str, challenge: str | None, method: str | None, session: SessionFound
    ) -> str:
        """Where to send the browser of a signed-in person; InvalidRequestError for what is not safe.

        The app is made when its origin is seen first.
        """
        callback = Callback(callback_url, read_challenge(challenge, method))
        async with self._store.transaction() as work:
            _, ticket = await self._ask(work, callback)
        return await self._consents.begin(ticket, session)

    async def allow(
        self, person: Person, callback_url: str, challenge: str | None, method: str | None, spending: Spending
    ) -> Allowed:
        """A code for what a person allows by their own key, without a page; as `begin` refuses.

        What they say of the money is what the grant has from now on.
        """
        now = self._clock()
        if spending.expires_at is not None and spending.expires_at <= now:
            raise InvalidRequestError("expires_at has passed.", param="expires_at")
        async with self._store.transaction() as work:
            callback = Callback(callback_url, read_challenge(challenge, method))
            app, ticket = await self._ask(work, callback)
            await work.people.hold(person.user, person.account)
            _, family = await agree_to(work, app, ticket, person, spending, now, now)
            return Allowed(await self._make_code(work, family, callback), app.client_id, now)

    async def complete(self, work: OAuthTransaction, decision: Decision) -> str:
        """The callback with a code, or with the person's no."""
        callback = msgspec.json.decode(decision.state, type=Callback)
        if decision.family is None:
            return add_query(callback.url, {"error": "access_denied"})
        code = await self._make_code(work, decision.family, callback)
        return add_query(callback.url, {"code": code})

    async def exchange(self, code: str, verifier: str) -> KeyMade:
        """The key that a code stands for, once.

        It is an access token that lives as long as the consent, since this flow knows no renewal; the person
        ends it as any grant. ForbiddenError when code or verifier is wrong: for whom is not told.
        """
        digest = self._digester.digest(code)
        async with self._store.transaction() as work:
            app = await self._app_of_code(work, digest)
        try:
            issued = await self._exchanges.use_code(app, CodeUse(digest, verifier), FAMILY_LIFETIME)
        except OAuthError:
            raise _wrong_code() from None
        subject = pairwise_subject(self._digester, app.client_id, issued.person.user)
        return KeyMade(issued.access_token, subject)

    async def forget_unused(self) -> None:
        """Delete apps of origins that nobody allowed anything for a day."""
        async with self._store.transaction() as work:
            await self._origins_in(work).forget_unused(self._clock())

    async def _ask(self, work: OAuthTransaction, callback: Callback) -> tuple[App, Ticket]:
        origin = read_origin(callback.url)
        app = await self._find_app(work, origin)
        ticket = Ticket(
            kind=KIND,
            app=app.id,
            scopes=SCOPES,
            state=msgspec.json.encode(callback).decode(),
            returns_to=origin,
            form_targets=form_targets(callback.url),
        )
        return app, ticket

    async def _make_code(self, work: OAuthTransaction, family: Family, callback: Callback) -> str:
        until = self._clock() + CODE_LIFETIME
        return await make_code(
            work, self._digester, family, until, redirect_uri=callback.url, challenge=callback.challenge
        )

    async def _find_app(self, work: OAuthTransaction, origin: str) -> App:
        await work.apps.add(make_app(origin, self._clock()))
        app = await work.apps.find(client_id_of(origin))
        if app is None or not app.is_unregistered or app.disabled_at is not None:
            raise ForbiddenError("Apps of this origin are not allowed here.")
        return app

    async def _app_of_code(self, work: OAuthTransaction, digest: bytes) -> App:
        code = await work.tokens.find_code(digest)
        family = None if code is None else await work.tokens.get_family(code.family)
        grant = None if family is None else await work.grants.get(family.grant)
        app = None if grant is None else await work.apps.get(grant.app)
        if app is None or not app.is_unregistered or app.disabled_at is not None:
            raise _wrong_code()
        return app


def _wrong_code() -> ForbiddenError:
    return ForbiddenError("The code or its code_verifier is wrong, used or expired.", code="invalid_code")
