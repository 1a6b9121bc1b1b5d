"""Prove who an app is, for every endpoint that apps call by themselves."""

from collections.abc import Mapping, Sequence

from oauth.domain.apps import App
from oauth.domain.clients import Credentials, check_assertion, is_secret_of, read_credentials
from oauth.domain.errors import InvalidClientError, InvalidRequestError
from oauth.domain.ports import Clock, Store
from oauth.domain.tokens import Digester
from oauth.usecases.batches import Batches

_AUDIENCES = (
    "",
    "/oauth/token",
    "/oauth/par",
    "/oauth/revoke",
    "/oauth/introspect",
    "/oauth/device_authorization",
)
"""What assertions may be addressed to: the issuer and its endpoints (RFC 7523 section 3, RFC 9126)."""
_WRONG = "The app is unknown, disabled, or its credentials are wrong."


class ClientAuthenticator:
    """Apps authenticate as they are registered; Basic and the form are the same secret (OAuth 2.1 2.4.1)."""

    def __init__(self, store: Store, digester: Digester, clock: Clock, issuer: str) -> None:
        self._store = store
        self._digester = digester
        self._clock = clock
        self._audiences = tuple(issuer + path for path in _AUDIENCES)
        self._finding: Batches[str, App | None] = Batches(self._find)

    async def authenticate(self, form: Mapping[str, str], headers: Mapping[str, str]) -> App:
        """The app that sent the form, enabled; a public app by its client id alone.

        Raises InvalidClientError, and InvalidRequestError when it authenticates in two ways.
        """
        credentials = read_credentials(form, headers.get("authorization"))
        app = await self._finding.submit(credentials.client_id)
        if app is None or app.disabled_at is not None:
            raise InvalidClientError(_WRONG)
        if credentials.assertion is not None:
            await self._check_assertion(app, credentials.assertion)
        elif not self._is_right(app, credentials):
            raise InvalidClientError(_WRONG)
        return app

    async def identify(self, form: Mapping[str, str]) -> App:
        """The enabled app that the form names, proved by nothing: for what a browser sends."""
        client_id = form.get("client_id")
        if client_id is None:
            raise InvalidRequestError("The client_id is missing.", param="client_id")
        credentials = read_credentials({"client_id": client_id}, None)
        app = await self._finding.submit(credentials.client_id)
        if app is None or app.disabled_at is not None:
            raise InvalidClientError("The app is unknown or disabled.")
        return app

    async def _find(self, client_ids: Sequence[str]) -> Sequence[App | None]:
        return await self._store.find_apps(client_ids)

    def _is_right(self, app: App, credentials: Credentials) -> bool:
        if app.is_public or credentials.secret is None:
            return app.is_public and credentials.secret is None
        if app.auth_method == "private_key_jwt":
            return False
        return is_secret_of(app, credentials.secret, self._digester)

    async def _check_assertion(self, app: App, text: str) -> None:
        if app.auth_method != "private_key_jwt":
            raise InvalidClientError(_WRONG)
        assertion = check_assertion(text, app, self._audiences, self._clock())
        is_first = await self._store.use_proof(self._digester.digest(assertion.id), assertion.expires_at)
        if not is_first:
            raise InvalidClientError("The assertion was used before.")
