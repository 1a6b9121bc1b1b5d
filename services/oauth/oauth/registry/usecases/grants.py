"""Grants: seen and changed by who gave them, ended by them, by the app's owner or by the operator."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from common.contracts.errors import ConflictError, InvalidRequestError, NotFoundError
from common.contracts.oauth import GrantUpdated
from oauth.domain.apps import App
from oauth.domain.grants import Grant, RevokedBy
from oauth.domain.ports import Clock, OAuthTransaction, Store
from oauth.domain.scopes import SPENDING
from oauth.registry.domain.ports import Ledger
from oauth.registry.domain.uses import spent_of
from oauth.usecases.grants import record_grant, revoke_grant

_NO_SUCH_GRANT = "There is no such grant."


class Listed(msgspec.Struct, frozen=True):
    """A grant with its app, and when tokens were last given out on it.

    `spent_nano` is what it has spent, or has under way, in the window of its limit that is now; None while
    the ledger does not answer.
    """

    grant: Grant
    app: App
    used_at: datetime | None = None
    spent_nano: int | None = None


class GrantDesk(msgspec.Struct, frozen=True):
    """Grants in one store, by one clock, with what one ledger says of them."""

    store: Store
    clock: Clock
    ledger: Ledger

    async def list_given(
        self, user: str, after: str | None, limit: int, *, live: bool = True
    ) -> list[Listed]:
        """Up to `limit` grants that a person gave, in the order they were given."""
        async with self.store.transaction() as work:
            grants = await work.grants.list_page(user=user, app=None, after=after, limit=limit, live=live)
            listed = await _with_apps(work, grants)
        return await self._with_uses(listed)

    async def list_received(
        self, owner: str | None, client_id: str, after: str | None, limit: int
    ) -> list[Listed]:
        """Up to `limit` live grants to the owner's app (None: anybody's); NotFoundError."""
        async with self.store.transaction() as work:
            app = await work.apps.find(client_id)
            if app is None or (owner is not None and app.owner != owner):
                raise NotFoundError("There is no such app.")
            grants = await work.grants.list_page(user=None, app=app.id, after=after, limit=limit, live=True)
            listed = await _with_apps(work, grants)
        return await self._with_uses(listed)

    async def get(self, user: str | None, grant: str) -> Listed:
        """What the person gave (None: anybody); NotFoundError."""
        async with self.store.transaction() as work:
            listed = await _with_apps(work, [await _find(work, user, grant)])
        return (await self._with_uses(listed))[0]

    async def change(self, user: str, grant: str, said: Mapping[str, Any]) -> Listed:
        """The person's grant with the fields of Spending in `said`, in force within a second.

        NotFoundError; ConflictError for one that has ended or spends nothing; InvalidRequestError.
        """
        now = self.clock()
        async with self.store.transaction() as work:
            found = await _find(work, user, grant)
            live = await work.grants.find_live(found.app, found.user)
            if live is None or live.id != found.id:
                raise ConflictError("This grant has ended.")
            if not SPENDING & set(live.scopes):
                raise ConflictError("This grant spends nothing.")
            spending = msgspec.structs.replace(live.spending, **said)
            if spending.limit_nano is None:
                raise InvalidRequestError("A grant that spends has a limit.", param="limit")
            if spending.max_charge_nano is not None and spending.max_charge_nano > spending.limit_nano:
                raise InvalidRequestError("More than the limit.", param="max_per_charge")
            if said.get("expires_at") is not None and said["expires_at"] <= now:
                raise InvalidRequestError("In the past; to end it now, revoke it.", param="expires_at")
            changed = msgspec.structs.replace(live, spending=spending, updated_at=now)
            [listed] = await _with_apps(work, [changed])
            if spending != live.spending:
                await work.grants.update(changed)
                person = await work.people.get(changed.user)
                account = "" if person is None else person.account
                await record_grant(work, GrantUpdated, changed, listed.app, account)
        return (await self._with_uses([listed]))[0]

    async def revoke(self, user: str | None, grant: str) -> Listed:
        """End what the person gave, by themselves (None: by the operator); once more changes nothing."""
        async with self.store.transaction() as work:
            found = await _find(work, user, grant)
            return await self._revoke(work, found, "operator" if user is None else "user")

    async def revoke_received(self, owner: str | None, client_id: str, grant: str) -> Listed:
        """End a grant to the owner's app (None: anybody's, by the operator)."""
        async with self.store.transaction() as work:
            found = await _find(work, None, grant)
            app = await work.apps.get(found.app)
            if app is None or app.client_id != client_id or (owner is not None and app.owner != owner):
                raise NotFoundError(_NO_SUCH_GRANT)
            return await self._revoke(work, found, "operator" if owner is None else "owner")

    async def _with_uses(self, listed: Sequence[Listed]) -> list[Listed]:
        """Asked outside of any transaction."""
        uses = await self.ledger.read_uses([one.grant.id for one in listed])
        if uses is None:
            return list(listed)
        return [
            msgspec.structs.replace(one, spent_nano=spent_of(one.grant.spending, uses.get(one.grant.id)))
            for one in listed
        ]

    async def _revoke(self, work: OAuthTransaction, grant: Grant, by: RevokedBy) -> Listed:
        [listed] = await _with_apps(work, [grant])
        ended = await revoke_grant(work, grant, listed.app, by, self.clock())
        return listed if ended is None else msgspec.structs.replace(listed, grant=ended)


async def _find(work: OAuthTransaction, user: str | None, grant: str) -> Grant:
    found = await work.grants.get(grant)
    if found is None or (user is not None and found.user != user):
        raise NotFoundError(_NO_SUCH_GRANT)
    return found


async def _with_apps(work: OAuthTransaction, grants: Sequence[Grant]) -> list[Listed]:
    apps = await work.apps.get_many({grant.app for grant in grants})
    used = await work.tokens.last_given([grant.id for grant in grants])
    return [Listed(grant, apps[grant.app], used.get(grant.id)) for grant in grants]
