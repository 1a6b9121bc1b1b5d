"""Apps: registered, changed and ended by whose they are, or by the operator."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from common.contracts.errors import ConflictError, NotFoundError
from common.contracts.oauth import AppDisabled, AppNarrowed
from common.contracts.principals import Principal
from common.kit.ids import uuid7
from oauth.domain.apps import App
from oauth.domain.ports import Clock, OAuthTransaction, Store
from oauth.domain.tokens import CLIENT_SECRET_PREFIX, Digester, generate
from oauth.registry.domain.apps import MANAGEMENT_SCOPE, MOST_APPS, check_app, new_client_id

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The user of the operator's own key, and whose name the events of the operator's apps carry."""
_LOG = logging.getLogger(__name__)
_NO_SUCH_APP = "There is no such app."


class Registrar(msgspec.Struct, frozen=True):
    """What registering needs; `management_tokens` as in the settings."""

    store: Store
    digester: Digester
    clock: Clock
    management_tokens: bool = False

    async def create(self, principal: Principal, said: Mapping[str, Any]) -> tuple[App, str | None]:
        """A new app of the caller, and its secret, which nobody sees again; None for one that keeps none.

        `said` are fields of App. InvalidRequestError names a bad one; ConflictError: the caller has
        MOST_APPS.
        """
        now = self.clock()
        owner = None if principal.user == NOBODY else principal.user
        app = App(
            id=uuid7(),
            client_id=new_client_id(),
            created_at=now,
            updated_at=now,
            owner=owner,
            owner_account=None if owner is None else principal.account,
            **said,
        )
        secret = generate(CLIENT_SECRET_PREFIX) if app.auth_method.startswith("client_secret") else None
        if secret is not None:
            app = msgspec.structs.replace(app, secrets=(self.digester.digest(secret),))
        app = check_app(app, management_tokens=self.management_tokens)
        async with self.store.transaction() as work:
            if app.owner is not None and app.owner_account is not None:
                await work.people.hold(app.owner, app.owner_account)
            await self._check_room(work, app)
            await work.apps.add(app)
        return app, secret

    async def list_page(self, owner: str | None, after: str | None, limit: int) -> list[App]:
        """Up to `limit` of one owner, or of all."""
        async with self.store.transaction() as work:
            return await work.apps.list_page(owner, after, limit)

    async def get(self, owner: str | None, client_id: str) -> App:
        """The owner's app (None: anybody's); NotFoundError."""
        async with self.store.transaction() as work:
            return _checked(await work.apps.find(client_id), owner)

    async def change(self, owner: str | None, client_id: str, said: Mapping[str, Any]) -> App:
        """The app with the fields `said`; InvalidRequestError, NotFoundError.

        Fewer scopes count at once for the tokens it holds, too. An app that keeps a secret and one that keeps
        none are two kinds: one does not become the other.
        """
        async with self.store.transaction() as work:
            app = await self._hold(work, owner, client_id)
            changed = msgspec.structs.replace(app, **said, updated_at=self.clock())
            if changed.is_public != app.is_public:
                raise ConflictError(
                    "An app without a secret stays one: register another.", param="auth_method"
                )
            if changed.auth_method != "private_key_jwt":
                changed = msgspec.structs.replace(changed, jwks=said.get("jwks"))
            changed = check_app(changed, management_tokens=self.management_tokens)
            await work.apps.update(changed)
            await record_narrowed(work, app, changed)
        return changed

    async def rotate_secret(self, owner: str | None, client_id: str) -> tuple[App, str]:
        """A new secret, seen this once; the one before it lives on until it is dropped or the next comes."""
        secret = generate(CLIENT_SECRET_PREFIX)
        async with self.store.transaction() as work:
            app = _checked(await work.apps.lock(client_id), owner)
            if not app.auth_method.startswith("client_secret"):
                raise ConflictError("This app keeps no secret.")
            app = msgspec.structs.replace(
                app, secrets=(self.digester.digest(secret), *app.secrets[:1]), updated_at=self.clock()
            )
            await work.apps.update(app)
        return app, secret

    async def drop_secret(self, owner: str | None, client_id: str) -> App:
        """Only the newest secret counts from now on."""
        async with self.store.transaction() as work:
            app = _checked(await work.apps.lock(client_id), owner)
            if len(app.secrets) > 1:
                app = msgspec.structs.replace(app, secrets=app.secrets[:1], updated_at=self.clock())
                await work.apps.update(app)
        return app

    async def disable(self, owner: str | None, client_id: str, *, by_operator: bool) -> App:
        """No token of it counts from now on; said by the operator, only the operator takes it back."""
        now = self.clock()
        async with self.store.transaction() as work:
            app = await self._hold(work, owner, client_id)
            if app.disabled_at is not None and not (by_operator and app.disabled_by == "owner"):
                return app
            if app.disabled_at is None:
                user = app.owner or NOBODY
                sequence = await work.next_sequence(user)
                work.record(AppDisabled(uuid7(), sequence, user, app.client_id))
            app = msgspec.structs.replace(
                app,
                disabled_at=app.disabled_at or now,
                disabled_by="operator" if by_operator else "owner",
                updated_at=now,
            )
            await work.apps.update(app)
        return app

    async def enable(self, owner: str | None, client_id: str, *, by_operator: bool) -> App:
        """Its grants, and those of its tokens that have not ended, count again."""
        async with self.store.transaction() as work:
            app = await self._hold(work, owner, client_id)
            if app.disabled_at is None:
                return app
            if app.disabled_by == "operator" and not by_operator:
                raise ConflictError("The operator disabled this app.")
            await self._check_room(work, app)
            app = msgspec.structs.replace(app, disabled_at=None, disabled_by=None, updated_at=self.clock())
            await work.apps.update(app)
        return app

    async def _hold(self, work: OAuthTransaction, owner: str | None, client_id: str) -> App:
        """The app, locked, and before it its owner: everywhere in this order."""
        app = _checked(await work.apps.find(client_id), owner)
        await hold_owner(work, app)
        return _checked(await work.apps.lock(client_id), owner)

    async def _check_room(self, work: OAuthTransaction, app: App) -> None:
        if app.owner is not None and await work.apps.count(app.owner) >= MOST_APPS:
            raise ConflictError(f"You have {MOST_APPS} apps, which is the most.")


async def close_management(store: Store) -> None:
    """The operator has switched management keys off: apps that might ask for them may not any more."""
    async with store.transaction() as work:
        count = await work.apps.withdraw(MANAGEMENT_SCOPE)
    if count:
        _LOG.warning("management tokens are off: the scope was taken from %d apps", count)


async def hold_owner(work: OAuthTransaction, app: App) -> None:
    """Lock the row whose numbers the app's events carry; before the app itself."""
    await work.people.hold(app.owner or NOBODY, app.owner_account or NOBODY)


async def record_narrowed(work: OAuthTransaction, before: App, after: App) -> None:
    """Tell who remembers the app's tokens that they may do less, if so; the owner is held."""
    if not set(before.scopes) <= set(after.scopes):
        user = after.owner or NOBODY
        sequence = await work.next_sequence(user)
        work.record(AppNarrowed(uuid7(), sequence, user, after.client_id, after.scopes))


def _checked(app: App | None, owner: str | None) -> App:
    if app is None or (owner is not None and app.owner != owner):
        raise NotFoundError(_NO_SUCH_APP)
    return app
