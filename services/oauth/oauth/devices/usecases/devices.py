"""The device flow, from the device's question to its tokens (RFC 8628)."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from oauth.devices.domain.devices import (
    LIFETIME,
    AuthorizationPendingError,
    Device,
    ExpiredTokenError,
    Poll,
    SlowDownError,
    TooManyGuessesError,
    UnknownUserCodeError,
    generate_user_code,
    read_user_code,
)
from oauth.devices.domain.ports import DevicesIn
from oauth.domain.apps import App
from oauth.domain.consents import Ticket
from oauth.domain.details import parse_details
from oauth.domain.errors import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidScopeError,
    OAuthError,
    UnknownTicketError,
)
from oauth.domain.parameters import required
from oauth.domain.ports import Clock, Decision, OAuthTransaction, Store
from oauth.domain.scopes import SPENDING, allowed_scopes, parse_scope
from oauth.domain.tokens import DEVICE_PREFIX, Digester, Family, generate

KIND = "device"
"""Of tickets that ask for consent on behalf of a device."""
PAGE = "/oauth/device"
ALLOWED, DENIED = "allowed", "denied"
"""Pages under PAGE that tell the person to go back to the device."""


class Begun(msgspec.Struct, frozen=True):
    """What the device is told, the only time that its codes are known in clear."""

    device_code: str
    user_code: str
    page: str
    device: Device


class DeviceFlow:
    """The use-cases of the device flow over one storage and one clock."""

    def __init__(
        self, store: Store, devices_in: DevicesIn, digester: Digester, clock: Clock, issuer: str
    ) -> None:
        self._store = store
        self._devices_in = devices_in
        self._digester = digester
        self._clock = clock
        self._page = issuer + PAGE

    async def begin(self, app: App, scope: str, details: str) -> Begun:
        """A new pair of codes for what the app asks, both texts as it sent them, empty for none.

        InvalidScopeError, InvalidDetailsError, each for what the authorization endpoint refuses, too.
        """
        now = self._clock()
        asked = parse_details(details, now) if details else None
        scopes = allowed_scopes(parse_scope(scope or ("charge" if asked else "")), app.scopes)
        if asked is not None and SPENDING.isdisjoint(scopes):
            raise InvalidScopeError(
                "authorization_details to spend need the scope charge or relay.", param="scope"
            )
        while True:
            device_code, user_code = generate(DEVICE_PREFIX), generate_user_code()
            device = Device(
                digest=self._digester.digest(device_code),
                user_digest=self._user_digest(user_code),
                app=app.id,
                scopes=scopes,
                details=details,
                created_at=now,
                expires_at=now + LIFETIME,
            )
            async with self._store.transaction() as work:
                if await self._devices_in(work).add(device):
                    return Begun(device_code, user_code, self._page, device)

    async def find(self, user: str, typed: str) -> Ticket:
        """What to ask the person on behalf of the device that shows the code that they typed.

        The page is never skipped: it is what stands between a person and a code that somebody sent them (RFC
        8628 section 5.4). UnknownUserCodeError when no device waits with the code; TooManyGuessesError after
        FREE_GUESSES of these. The guess is counted before the code is looked up, so that many at once are no
        way around the count.
        """
        now = self._clock()
        user_code = read_user_code(typed)
        async with self._store.transaction() as work:
            devices = self._devices_in(work)
            until = await devices.count_guess(user, now)
            if until is not None:
                wait_s = (until - now).total_seconds()
                raise TooManyGuessesError("Too many wrong codes; wait and try again.", retry_after_s=wait_s)
            digest = self._user_digest(user_code or "")
            device = await devices.find_waiting(digest, now) if user_code else None
            app = None if device is None else await work.apps.get(device.app)
            if device is not None and app is not None and app.disabled_at is None:
                await devices.forgive_guess(user)
                return self._ticket(device, now)
        raise UnknownUserCodeError("No device waits with this code.", param="user_code")

    async def exchange(
        self, work: OAuthTransaction, app: App, form: Mapping[str, str]
    ) -> Family | OAuthError:
        """The grant type of RFC 8628 section 3.4; a refusal is returned, since the question must be noted."""
        digest, now = self._digester.digest(required(form, "device_code")), self._clock()
        devices = self._devices_in(work)
        poll = await devices.poll(digest, app.id, now)
        refusal = _why_not(poll, now)
        if refusal is not None:
            return refusal
        taken = await devices.take(digest, now)
        family = None if taken is None else await work.tokens.get_family(taken)
        return family or InvalidGrantError("The device code is used.")

    async def complete(self, work: OAuthTransaction, decision: Decision) -> str:
        """Tell the device what the person decided; the page to show.

        UnknownTicketError when it waits no more: then nothing was granted either.
        """
        digest = bytes.fromhex(decision.state)
        family = None if decision.family is None else decision.family.id
        if not await self._devices_in(work).decide(digest, family, self._clock()):
            raise UnknownTicketError("The device does not wait any more.")
        return f"{PAGE}/{DENIED if family is None else ALLOWED}"

    async def forget_old(self) -> None:
        """Delete what expired a while ago."""
        async with self._store.transaction() as work:
            await self._devices_in(work).prune(self._clock())

    def _ticket(self, device: Device, now: datetime) -> Ticket:
        asked = parse_details(device.details, now) if device.details else None
        return Ticket(
            kind=KIND,
            app=device.app,
            scopes=device.scopes,
            state=device.digest.hex(),
            asked=asked,
            for_device=True,
        )

    def _user_digest(self, user_code: str) -> bytes:
        return self._digester.digest(f"user code\n{user_code}")


def _why_not(poll: Poll | None, now: datetime) -> OAuthError | None:
    """The refusal that a device hears which may not take its tokens now (RFC 8628 section 3.5)."""
    if poll is None:
        return InvalidGrantError("The device code is unknown, used, or of another app.")
    if poll.device.expires_at <= now:
        return ExpiredTokenError("The device code has expired; begin again.")
    if poll.device.denied_at is not None:
        return AccessDeniedError("The person said no.")
    if poll.device.family is not None:
        return None
    if poll.too_soon:
        return SlowDownError(f"Ask every {poll.device.interval_s} seconds.")
    return AuthorizationPendingError("The person has not decided yet.")
