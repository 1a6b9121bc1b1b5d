"""The device flow, from the device's question to its tokens (RFC 8628)."""

from collections.abc import Mapping, Sequence

import msgspec

from oauth.devices.domain.devices import (
    LIFETIME,
    AuthorizationPendingError,
    Device,
    ExpiredTokenError,
    SlowDownError,
    TooManyGuessesError,
    UnknownUserCodeError,
    generate_user_code,
    read_user_code,
)
from oauth.devices.domain.ports import DevicesIn
from oauth.domain.apps import App
from oauth.domain.errors import AccessDeniedError, InvalidGrantError, InvalidRequestError, OAuthError
from oauth.domain.ports import Clock, Decision, OAuthTransaction, Store
from oauth.domain.tokens import DEVICE_PREFIX, Digester, Family, generate

ALLOWED, DENIED, EXPIRED = "allowed", "denied", "expired"
"""How it ended; each has a page of its own."""
PAGE = "/oauth/device"


class Begun(msgspec.Struct, frozen=True):
    """What the device is told, the only time that its codes are known in clear."""

    device_code: str
    user_code: str
    device: Device


class DeviceFlow:
    """The use-cases of the device flow over one storage and one clock."""

    def __init__(self, store: Store, devices_in: DevicesIn, digester: Digester, clock: Clock) -> None:
        self._store = store
        self._devices_in = devices_in
        self._digester = digester
        self._clock = clock

    async def begin(self, app: App, scopes: Sequence[str], details: str) -> Begun:
        """A new pair of codes for what the app may ask; `details` as in Device."""
        now = self._clock()
        while True:
            device_code, user_code = generate(DEVICE_PREFIX), generate_user_code()
            device = Device(
                digest=self._digester.digest(device_code),
                user_digest=self._user_digest(user_code),
                app=app.id,
                scopes=tuple(scopes),
                details=details,
                created_at=now,
                expires_at=now + LIFETIME,
            )
            async with self._store.transaction() as work:
                if await self._devices_in(work).add(device):
                    return Begun(device_code, user_code, device)

    async def find(self, user: str, typed: str) -> tuple[Device, App]:
        """The device that shows the code that the person typed, and whose it is.

        UnknownUserCodeError when none waits with it; TooManyGuessesError after FREE_GUESSES of these. The
        guess is counted before the code is looked up, so that many at once are no way around the count.
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
                return device, app
        raise UnknownUserCodeError("No device waits with this code.", param="user_code")

    async def exchange(
        self, work: OAuthTransaction, app: App, form: Mapping[str, str]
    ) -> Family | OAuthError:
        """The grant type of RFC 8628 section 3.4; a refusal is returned, since the question must be noted."""
        device_code = form.get("device_code")
        if not device_code:
            raise InvalidRequestError("The parameter device_code is missing.", param="device_code")
        now = self._clock()
        digest = self._digester.digest(device_code)
        devices = self._devices_in(work)
        poll = await devices.poll(digest, app.id, now)
        if poll is None:
            return InvalidGrantError("The device code is unknown, used, or of another app.")
        if poll.device.expires_at <= now:
            return ExpiredTokenError("The device code has expired; begin again.")
        if poll.device.denied_at is not None:
            return AccessDeniedError("The person said no.")
        if poll.device.family is None:
            if poll.too_soon:
                return SlowDownError(f"Ask every {poll.device.interval_s} seconds.")
            return AuthorizationPendingError("The person has not decided yet.")
        taken = await devices.take(digest, now)
        family = None if taken is None else await work.tokens.get_family(taken)
        if family is None:
            return InvalidGrantError("The device code is used.")
        return family

    async def complete(self, work: OAuthTransaction, decision: Decision) -> str:
        """Tell the device what the person decided; the page to show, EXPIRED when it waits no more."""
        digest = bytes.fromhex(decision.state)
        family = None if decision.family is None else decision.family.id
        if not await self._devices_in(work).decide(digest, family, self._clock()):
            return f"{PAGE}/{EXPIRED}"
        return f"{PAGE}/{DENIED if family is None else ALLOWED}"

    async def forget_old(self) -> None:
        """Delete what expired a while ago."""
        async with self._store.transaction() as work:
            await self._devices_in(work).prune(self._clock())

    def _user_digest(self, user_code: str) -> bytes:
        return self._digester.digest(f"user code\n{user_code}")
