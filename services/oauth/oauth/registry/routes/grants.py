"""/api/oauth/grants: what a person allows apps; and what an app was allowed, for its owner."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import delete, get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from common.contracts.errors import InvalidRequestError
from common.contracts.principals import BudgetPeriod, Principal
from common.kit.money import format_usd
from oauth.domain.details import parse_amount
from oauth.domain.grants import RevokedBy
from oauth.domain.subjects import pairwise_subject
from oauth.domain.tokens import Digester
from oauth.registry.routes.apps import owner_of
from oauth.registry.usecases.grants import GrantDesk, Listed
from oauth.routes.principals import ManagementController, cursor_of, user_of

PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class GrantPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds to change, amounts in USD; null takes one away, which a limit cannot be."""

    limit: str | msgspec.UnsetType = msgspec.UNSET
    period: BudgetPeriod | msgspec.UnsetType = msgspec.UNSET
    max_per_charge: str | msgspec.UnsetType | None = msgspec.UNSET
    expires_at: Moment | msgspec.UnsetType | None = msgspec.UNSET


class ReceivedView(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as the app's owner sees it: `sub` is the app's own name for the person.

    `limit` is USD per `period`, whose windows begin on the clock of `timezone`; `spent` and `remaining` are
    of the window that is now, null while the ledger does not answer. `used_at` is when tokens were last
    given out on it, null when that is no longer known.
    """

    id: str
    app: str
    sub: str
    scopes: tuple[str, ...]
    limit: str | None
    spent: str | None
    remaining: str | None
    period: BudgetPeriod
    timezone: str
    max_per_charge: str | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: RevokedBy | None


class GrantView(ReceivedView, frozen=True, kw_only=True):
    """A grant as the person sees who gave it."""

    app_name: str
    app_homepage: str
    app_disabled: bool
    user: str


class GrantList(msgspec.Struct, frozen=True):
    """In the order they were given; `next` is the `after` of the next page, null at the end."""

    data: list[GrantView]
    next: str | None


class ReceivedList(msgspec.Struct, frozen=True):
    """In the order they were given; `next` is the `after` of the next page, null at the end."""

    data: list[ReceivedView]
    next: str | None


class GrantController(ManagementController):
    """Grants: everybody has their own, admins see and end all; another's is indistinguishable from none."""

    path = "/api/oauth/grants"

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        grant_desk: NamedDependency[GrantDesk],
        digester: NamedDependency[Digester],
        user: FromQuery[UUID | None] = None,
        ended: FromQuery[bool] = False,  # noqa: FBT002  a query parameter
        after: FromQuery[str | None] = None,
        limit: PageLimit = 50,
    ) -> GrantList:
        """The caller's grants; an admin may name another person. With `ended=true` those that ended too."""
        found = await grant_desk.list_given(
            user_of(principal, user), cursor_of(after), limit + 1, live=not ended
        )
        page = found[:limit]
        cursor = page[-1].grant.id if len(found) > limit else None
        return GrantList([_view(digester, listed) for listed in page], cursor)

    @get("/{grant:uuid}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        grant_desk: NamedDependency[GrantDesk],
        digester: NamedDependency[Digester],
        grant: FromPath[UUID],
    ) -> GrantView:
        """One grant."""
        return _view(digester, await grant_desk.get(owner_of(principal), str(grant)))

    @patch("/{grant:uuid}")
    async def change(
        self,
        principal: NamedDependency[Principal],
        grant_desk: NamedDependency[GrantDesk],
        digester: NamedDependency[Digester],
        grant: FromPath[UUID],
        data: JSONBody[GrantPatch],
    ) -> GrantView:
        """Lower or raise the bounds; only who gave the grant may."""
        return _view(digester, await grant_desk.change(principal.user, str(grant), _said(data)))

    @delete("/{grant:uuid}")
    async def revoke(
        self,
        principal: NamedDependency[Principal],
        grant_desk: NamedDependency[GrantDesk],
        grant: FromPath[UUID],
    ) -> None:
        """Every token of it is refused from now on, on every replica within a second."""
        mine = await grant_desk.get(owner_of(principal), str(grant))
        by_operator = principal.is_admin and mine.grant.user != principal.user
        await grant_desk.revoke(None if by_operator else principal.user, str(grant))


class ReceivedController(ManagementController):
    """What people allowed an app, for its owner: no address, no id of theirs."""

    path = "/api/oauth/apps/{client_id:str}/grants"

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        grant_desk: NamedDependency[GrantDesk],
        digester: NamedDependency[Digester],
        client_id: FromPath[str],
        after: FromQuery[str | None] = None,
        limit: PageLimit = 50,
    ) -> ReceivedList:
        """The live grants to an app."""
        found = await grant_desk.list_received(owner_of(principal), client_id, cursor_of(after), limit + 1)
        page = found[:limit]
        cursor = page[-1].grant.id if len(found) > limit else None
        return ReceivedList([ReceivedView(**_fields(digester, listed)) for listed in page], cursor)

    @delete("/{grant:uuid}")
    async def revoke(
        self,
        principal: NamedDependency[Principal],
        grant_desk: NamedDependency[GrantDesk],
        client_id: FromPath[str],
        grant: FromPath[UUID],
    ) -> None:
        """The app gives up what it was allowed."""
        await grant_desk.revoke_received(owner_of(principal), client_id, str(grant))


def _said(data: GrantPatch) -> dict[str, Any]:
    """The fields of Spending that a body names."""
    said = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
    for name, field in (("limit", "limit_nano"), ("max_per_charge", "max_charge_nano")):
        if name in said:
            text = said.pop(name)
            try:
                said[field] = None if text is None else parse_amount(text)
            except ValueError as error:
                raise InvalidRequestError(f"{name}: {error}.", param=name) from None
    return said


def _fields(digester: Digester, listed: Listed) -> dict[str, Any]:
    grant, spending = listed.grant, listed.grant.spending
    limit_nano, spent_nano = spending.limit_nano, listed.spent_nano
    left_nano = None if limit_nano is None or spent_nano is None else max(0, limit_nano - spent_nano)
    return {
        "id": grant.id,
        "app": listed.app.client_id,
        "sub": pairwise_subject(digester, listed.app.client_id, grant.user),
        "scopes": grant.scopes,
        "limit": _usd(limit_nano),
        "spent": _usd(spent_nano),
        "remaining": _usd(left_nano),
        "period": spending.period,
        "timezone": spending.timezone,
        "max_per_charge": _usd(spending.max_charge_nano),
        "expires_at": spending.expires_at,
        "created_at": grant.created_at,
        "updated_at": grant.updated_at,
        "used_at": listed.used_at,
        "revoked_at": grant.revoked_at,
        "revoked_by": grant.revoked_by,
    }


def _view(digester: Digester, listed: Listed) -> GrantView:
    app = listed.app
    return GrantView(
        **_fields(digester, listed),
        app_name=app.name,
        app_homepage=app.homepage,
        app_disabled=app.disabled_at is not None,
        user=listed.grant.user,
    )


def _usd(amount_nano: int | None) -> str | None:
    return None if amount_nano is None else format_usd(amount_nano)
