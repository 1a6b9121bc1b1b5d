"""Sign in, know who is signed in, sign out."""

from collections.abc import Callable
from datetime import datetime, timedelta

from common.kit.ids import uuid7
from gateway.domain.ports import Identity, Passwords
from gateway.domain.sessions import (
    SEEN_EVERY,
    NotSignedInError,
    Session,
    SessionTokens,
    SignedIn,
    TooManyFailuresError,
    WrongPasswordError,
)
from gateway.domain.users import User, normal_email

_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$YWFhYWFhYWFhYWFhYWFhYQ$PD1tlN0MZu1nGHZ2sJ1vNJ1HkTkNhQjE3pZ4cJH9NFs"
"""Verified in the place of a hash that is not there: an unknown address takes as long as a known one."""

Clock = Callable[[], datetime]


class Sessions:
    """The use-cases of sign-in over one storage and one clock."""

    def __init__(self, identity: Identity, passwords: Passwords, tokens: SessionTokens, clock: Clock) -> None:
        self._identity = identity
        self._passwords = passwords
        self._tokens = tokens
        self._clock = clock

    async def sign_in(self, email: str, password: str, address: str) -> tuple[str, SignedIn]:
        """A new session and its token, for the browser at `address`.

        WrongPasswordError, also for an unknown or disabled user; TooManyFailuresError before the password is
        looked at. The failure is counted before the password is verified, so that many at once are no way
        around the count, and taken back when it was the right one.
        """
        now = self._clock()
        try:
            name = normal_email(email)
        except ValueError:
            raise WrongPasswordError("Wrong e-mail address or password.") from None
        failures = self._tokens.failure_names(name, address)
        async with self._identity.transaction() as work:
            user = await work.users.find(name)
            wait = await work.failures.count(failures, now)
        if wait > 0:
            raise TooManyFailuresError("Too many attempts; wait and try again.", retry_after_s=wait)
        await self._verify(user, password)
        token = self._tokens.generate()
        async with self._identity.transaction() as work:
            # Read again: who was disabled, or got another password, while the old one was verified stays out.
            current = None if user is None else await work.users.lock(user.id)
            if user is None or current is None or current != user:
                raise WrongPasswordError("Wrong e-mail address or password.")
            session = Session(uuid7(), current.id, self._tokens.digest(token), now, now)
            await work.sessions.add(session)
            await work.failures.forgive(failures)
        return token, SignedIn(session, current)

    async def find(self, token: str) -> SignedIn:
        """Who is signed in; NotSignedInError. Notes the use."""
        now = self._clock()
        digest = self._tokens.digest(token)
        async with self._identity.transaction() as work:
            session = await work.sessions.find(digest)
            user = None if session is None else await work.users.get(session.user)
            if session is None or user is None or not user.enabled or not session.is_live(now):
                raise NotSignedInError("You are not signed in.")
            if now - session.seen_at >= SEEN_EVERY:
                await work.sessions.seen(digest, now)
        return SignedIn(session, user)

    async def sign_out(self, token: str) -> None:
        """End the session; nothing happens when there is none."""
        try:
            digest = self._tokens.digest(token)
        except NotSignedInError:
            return
        async with self._identity.transaction() as work:
            await work.sessions.remove(digest)

    async def forget_old(self, keep: timedelta) -> None:
        """Delete what ended, and failures that count no more, `keep` ago."""
        async with self._identity.transaction() as work:
            await work.sessions.prune(self._clock() - keep)
            await work.failures.prune(self._clock() - keep)

    async def _verify(self, user: User | None, password: str) -> None:
        known = user is not None and user.enabled and user.password_hash is not None
        encoded = user.password_hash if user is not None and known else None
        matches = await self._passwords.verify(password, encoded or _NOBODY)
        if not (matches and known):
            raise WrongPasswordError("Wrong e-mail address or password.")
