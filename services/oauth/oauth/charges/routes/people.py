"""/api/oauth/charges: what apps took of somebody's balance."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from common.contracts.principals import Principal
from common.kit.money import format_usd
from oauth.charges.domain.charges import Charge, ChargeQuery, Status, states_of, status_of
from oauth.charges.routes.charges import PageLimit
from oauth.charges.usecases.apps import find_app, find_apps
from oauth.charges.usecases.charges import Charges
from oauth.domain.ports import Store
from oauth.routes.principals import ManagementController, cursor_of, user_of


class PaidView(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as the person who pays sees it. Its transfers in the balance history have `id` as their
    reference; `reference` here is the app's own. `fee`, the operator's share, is told to admins alone.
    """

    id: str
    app: str
    app_name: str
    grant: str
    status: Status
    amount: str
    amount_captured: str
    amount_refunded: str
    currency: str = "USD"
    description: str
    reference: str
    created_at: datetime
    fee: str | msgspec.UnsetType = msgspec.UNSET


class PaidList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `after` of the next page, null at the end."""

    data: list[PaidView]
    next: str | None


class PaidController(ManagementController):
    """Charges by every app."""

    path = "/api/oauth/charges"

    @get()
    async def list_(  # noqa: PLR0913  one per parameter
        self,
        principal: NamedDependency[Principal],
        core_store: NamedDependency[Store],
        charges: NamedDependency[Charges],
        *,
        user: FromQuery[UUID | None] = None,
        app: FromQuery[str | None] = None,
        status: FromQuery[Status | None] = None,
        after: FromQuery[str | None] = None,
        limit: PageLimit = 50,
    ) -> PaidList:
        """The caller's own, newest first; an admin may name another `user`. `app` is a client id."""
        named = None if app is None else (await find_app(core_store, None, app)).id
        states = () if status is None else states_of(status)
        paid_by = user_of(principal, user)
        query = ChargeQuery(app=named, user=paid_by, after=cursor_of(after), limit=limit + 1, states=states)
        found = await charges.list_page(query)
        page = found[:limit]
        apps = await find_apps(core_store, {charge.app for charge in page})
        admin = principal.is_admin
        views = [_paid(charge, apps[charge.app].name, admin=admin) for charge in page]
        return PaidList(views, page[-1].id if len(found) > limit else None)


def _paid(charge: Charge, app_name: str, *, admin: bool) -> PaidView:
    taken_nano = charge.captured_nano if charge.state == "succeeded" else 0
    return PaidView(
        id=charge.id,
        app=charge.client_id,
        app_name=app_name,
        grant=charge.grant,
        status=status_of(charge.state),
        amount=format_usd(charge.amount_nano),
        amount_captured=format_usd(taken_nano),
        amount_refunded=format_usd(charge.refunded_nano),
        description=charge.description,
        reference=charge.reference,
        created_at=charge.created_at,
        fee=format_usd(charge.fee_nano) if admin else msgspec.UNSET,
    )
