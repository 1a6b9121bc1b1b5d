"""Pushed authorization requests (RFC 9126): asked by the app itself, named in the browser by a reference."""

import secrets
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from oauth.authorization.domain.requests import KNOWN, read_request
from oauth.domain.apps import App
from oauth.domain.errors import InvalidRequestError, InvalidRequestUriError
from oauth.domain.parameters import state_of
from oauth.domain.ports import Clock, Store
from oauth.domain.redirects import find_redirect
from oauth.domain.tokens import Digester

PUSHED_LIFETIME = timedelta(seconds=60)
"""From the push to the browser's arrival; signing in and deciding take their own time."""
_PREFIX = "urn:ietf:params:oauth:request_uri:"


class Pushed(msgspec.Struct, frozen=True):
    """What is stored: whose it is, and what was pushed."""

    app: str
    parameters: dict[str, str]


class PushedRequests:
    """The use-cases of pushed requests over one storage and one clock."""

    def __init__(self, store: Store, digester: Digester, clock: Clock) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock

    async def push(self, app: App, form: Mapping[str, str], jkt: str) -> str:
        """The `request_uri` of a request that is right by now; OAuthError as the browser would be told.

        `jkt` is the key of the DPoP proof it came with, empty without: the code is bound to it (RFC 9449
        section 10.1).
        """
        if "request_uri" in form:
            raise InvalidRequestError("A pushed request has no request_uri.", param="request_uri")
        if jkt and form.get("dpop_jkt", jkt) != jkt:
            raise InvalidRequestError("The dpop_jkt is not that of the proof.", param="dpop_jkt")
        parameters = {name: form[name] for name in KNOWN if name in form} | ({"dpop_jkt": jkt} if jkt else {})
        if find_redirect(parameters.get("redirect_uri"), app.redirect_uris) is None:
            raise InvalidRequestError("The redirect_uri is not one of the app.", param="redirect_uri")
        state_of(parameters)
        read_request(app, parameters, self._clock())
        reference = secrets.token_urlsafe(32)
        text = msgspec.json.encode(Pushed(app.id, parameters)).decode()
        async with self._store.transaction() as work:
            expires_at = self._clock() + PUSHED_LIFETIME
            await work.requests.add("pushed", self._digester.digest(reference), app.id, text, expires_at)
        return _PREFIX + reference

    async def take(self, app: App, request_uri: str) -> dict[str, str]:
        """What the app pushed, once; InvalidRequestUriError, and another app's attempt uses nothing up."""
        if not request_uri.startswith(_PREFIX):
            raise InvalidRequestUriError("The request_uri was not made here.", param="request_uri")
        digest, now = self._digester.digest(request_uri.removeprefix(_PREFIX)), self._clock()
        async with self._store.transaction() as work:
            text = await work.requests.look("pushed", digest, now)
            pushed = None if text is None else msgspec.json.decode(text, type=Pushed)
            if (
                pushed is None
                or pushed.app != app.id
                or await work.requests.take("pushed", digest, now) is None
            ):
                raise InvalidRequestUriError(
                    "The request_uri is unknown, used or expired.", param="request_uri"
                )
        return pushed.parameters
