"""Codes and refresh tokens, exchanged for new tokens: each once, many at once.

What waits together is read by one query, decided here, and used up by the one statement that also stores what
is given for it. What was read may be old by then: of two who use one thing the statement gives to one, and
what ended meanwhile has ended the new tokens too.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from oauth.domain.apps import App
from oauth.domain.codes import CodeUse, check_use
from oauth.domain.errors import InvalidGrantError, OAuthError
from oauth.domain.ports import Clock, Exchanging, Spent, Store
from oauth.domain.refreshes import Refresh, scopes_for
from oauth.domain.tokens import (
    ACCESS_LIFETIME,
    REFRESH_GRACE,
    Code,
    Digester,
    RefreshToken,
    Standing,
    Swap,
    is_renewed,
)
from oauth.usecases.batches import Batches
from oauth.usecases.families import end_family
from oauth.usecases.tokens import Issued, Made, TokenIssuer

_NO_CODE = "The code is unknown, used, expired, or of another app."
_NO_REFRESH = "The refresh token is unknown, used, expired, revoked, or of another app."


class _CodeWish(msgspec.Struct, frozen=True, gc=False):
    app: App
    use: CodeUse
    lifetime: timedelta | None


class _RefreshWish(msgspec.Struct, frozen=True, gc=False):
    app: App
    refresh: Refresh


class _Plan(msgspec.Struct, frozen=True, gc=False):
    """What the app is told. `swap` is what must be written for that; when it finds the thing used, the app
    is told `if_used` instead. `replayed` is the family to end.
    """

    answer: Issued | OAuthError
    swap: Swap | None = None
    if_used: "_Plan | None" = None
    replayed: Standing | None = None


class Exchanges:
    """The use-cases over one storage and one clock."""

    def __init__(self, store: Store, digester: Digester, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._issuer = TokenIssuer(digester)
        self._codes: Batches[_CodeWish, _Plan] = Batches(self._exchange_codes)
        self._refreshes: Batches[_RefreshWish, _Plan] = Batches(self._exchange_refreshes)

    async def use_code(self, app: App, use: CodeUse, lifetime: timedelta | None = None) -> Issued:
        """Tokens for a code; with `lifetime` an access token alone that lives so long.

        InvalidGrantError; another app's attempt leaves the code as it is. The app's own attempt uses it up,
        even with a wrong verifier, and one attempt more ends all tokens that it led to (RFC 6749 section
        4.1.2).
        """
        return await self._conclude(app, await self._codes.submit(_CodeWish(app, use, lifetime)))

    async def use_refresh(self, app: App, refresh: Refresh) -> Issued:
        """Tokens for a refresh token, which only an attempt that succeeds uses up.

        InvalidGrantError, InvalidScopeError. A token that was used before ends its family, unless it was used
        within REFRESH_GRACE.
        """
        return await self._conclude(app, await self._refreshes.submit(_RefreshWish(app, refresh)))

    async def _conclude(self, app: App, plan: _Plan) -> Issued:
        if plan.replayed is not None:
            family, grant = plan.replayed.family, plan.replayed.grant
            async with self._store.transaction() as work:
                await end_family(work, family.id, grant, app, "replay", self._clock())
        if isinstance(plan.answer, OAuthError):
            raise plan.answer
        return plan.answer

    async def _exchange_codes(self, wishes: Sequence[_CodeWish]) -> Sequence[_Plan]:
        now = self._clock()
        async with self._store.exchanging() as work:
            found = await work.find_codes([wish.use.digest for wish in wishes])
            plans = [self._plan_code(wish, found.get(wish.use.digest), now) for wish in wishes]
            return await _carry_out(work, "codes", plans, now)

    async def _exchange_refreshes(self, wishes: Sequence[_RefreshWish]) -> Sequence[_Plan]:
        now = self._clock()
        async with self._store.exchanging() as work:
            found = await work.find_refreshes([wish.refresh.digest for wish in wishes])
            plans = [self._plan_refresh(wish, found.get(wish.refresh.digest), now) for wish in wishes]
            return await _carry_out(work, "refresh_tokens", plans, now)

    def _plan_code(self, wish: _CodeWish, found: tuple[Code, Standing] | None, now: datetime) -> _Plan:
        refusal = InvalidGrantError(_NO_CODE)
        if found is None or found[1].grant.app != wish.app.id:
            return _Plan(refusal)
        code, standing = found
        replayed = _Plan(refusal, replayed=standing)
        if code.used_at is not None:
            return replayed
        if code.expires_at <= now:
            return _Plan(refusal)
        try:
            check_use(code, wish.use)
        except InvalidGrantError as error:
            return _Plan(error, Swap(code.digest), replayed)
        scopes, renews = standing.family.scopes, wish.lifetime is None and is_renewed(standing.family.scopes)
        lifetime, jkt = wish.lifetime or ACCESS_LIFETIME, wish.use.jkt
        try:
            made = self._issuer.make(
                wish.app, standing, scopes, now, jkt=jkt, renews=renews, lifetime=lifetime
            )
        except InvalidGrantError as error:
            return _Plan(error)
        return _Plan(made.issued, _swap(code.digest, made), replayed)

    def _plan_refresh(
        self, wish: _RefreshWish, found: tuple[RefreshToken, Standing] | None, now: datetime
    ) -> _Plan:
        refused = _Plan(InvalidGrantError(_NO_REFRESH))
        if found is None or found[1].grant.app != wish.app.id:
            return refused
        token, standing = found
        if token.used_at is not None:
            is_replay = now - token.used_at > REFRESH_GRACE
            return _Plan(refused.answer, replayed=standing) if is_replay else refused
        if token.expires_at <= now:
            return refused
        # The nonce is the first ID token's (OpenID Connect Core section 12.2).
        family = msgspec.structs.replace(standing.family, nonce="")
        standing = Standing(family, standing.grant, standing.person)
        try:
            scopes = scopes_for(wish.app, standing, wish.refresh)
            made = self._issuer.make(wish.app, standing, scopes, now, jkt=wish.refresh.jkt)
        except OAuthError as error:
            return _Plan(error)
        return _Plan(made.issued, _swap(token.digest, made), refused)


async def _carry_out(work: Exchanging, of: Spent, plans: Sequence[_Plan], now: datetime) -> Sequence[_Plan]:
    swaps = [plan.swap for plan in plans if plan.swap is not None]
    done = iter(await work.swap(of, swaps, now) if swaps else ())
    return [
        plan if plan.swap is None or next(done) or plan.if_used is None else plan.if_used for plan in plans
    ]


def _swap(digest: bytes, made: Made) -> Swap:
    return Swap(digest, made.access, made.refresh, made.bound_to)
