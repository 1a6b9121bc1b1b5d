"""/api/oauth/apps/{client_id}/…: what an app earned, for its owner and the operator."""

from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from common.contracts.principals import Principal
from common.kit.money import MAX_NANO, format_usd
from oauth.charges.domain.charges import ChargeQuery, ChargeView, Status, states_of
from oauth.charges.domain.payouts import PayoutAsked, PayoutView, show_payout
from oauth.charges.domain.ports import StatementReader
from oauth.charges.domain.refunds import RefundAsked, RefundView, show_refund
from oauth.charges.domain.statements import EntryView, as_csv, show_entry
from oauth.charges.routes.charges import ChargeList, IdempotencyKey, PageLimit, charge_list
from oauth.charges.routes.errors import charge_handlers
from oauth.charges.usecases.apps import find_app
from oauth.charges.usecases.charges import Charges
from oauth.charges.usecases.payouts import Payouts
from oauth.charges.usecases.refunds import Refunds
from oauth.domain.apps import App
from oauth.domain.ports import Store
from oauth.routes.principals import ManagementController, cursor_of


class EarningsView(msgspec.Struct, frozen=True):
    """USD that the app earned and was not paid; below zero where refunds came after a payout."""

    app: str
    balance: str
    currency: str = "USD"


class Statement(msgspec.Struct, frozen=True):
    """Oldest first; `next` is the `after` of the next page, null at the end."""

    data: list[EntryView]
    next: str | None


async def provide_app(
    principal: NamedDependency[Principal], core_store: NamedDependency[Store], client_id: FromPath[str]
) -> App:
    """The app that the path names, when it is the caller's or the caller an admin; NotFoundError."""
    return await find_app(core_store, None if principal.is_admin else principal.user, client_id)


class EarningsController(ManagementController):
    """Everybody has their own apps, admins reach all; another's is indistinguishable from none."""

    path = "/api/oauth/apps/{client_id:str}"
    dependencies = {**ManagementController.dependencies, "app": Provide(provide_app)}  # noqa: RUF012
    exception_handlers = charge_handlers

    @get("/balance")
    async def balance(
        self,
        app: NamedDependency[App],
        payouts: NamedDependency[Payouts],
    ) -> EarningsView:
        """What the platform owes to the app."""
        return EarningsView(app.client_id, format_usd(await payouts.balance(app)))

    @get("/statement")
    async def statement(
        self,
        app: NamedDependency[App],
        app_statements: NamedDependency[StatementReader],
        after: Annotated[int, QueryParameter(ge=0, le=MAX_NANO)] = 0,
        limit: PageLimit = 50,
        as_: Annotated[Literal["json", "csv"], QueryParameter(name="format")] = "json",
    ) -> Statement | Response[str]:
        """Charges, refunds and payouts, as JSON or CSV."""
        found = await app_statements.list_page(app.id, after, limit + 1)
        page = found[:limit]
        cursor = str(page[-1].position) if len(found) > limit else None
        if as_ == "json":
            return Statement([show_entry(entry) for entry in page], cursor)
        headers = {"x-next": cursor} if cursor else {}
        return Response(as_csv(page), media_type="text/csv; charset=utf-8", headers=headers)

    @get("/charges")
    async def charges_of(
        self,
        app: NamedDependency[App],
        charges: NamedDependency[Charges],
        status: FromQuery[Status | None] = None,
        after: FromQuery[str | None] = None,
        limit: PageLimit = 50,
    ) -> ChargeList:
        """The app's charges, newest first; people are told as the app knows them."""
        states = () if status is None else states_of(status)
        query = ChargeQuery(app=app.id, after=cursor_of(after), limit=limit + 1, states=states)
        return charge_list(charges, await charges.list_page(query), limit)

    @get("/charges/{charge:str}")
    async def charge(
        self,
        app: NamedDependency[App],
        charges: NamedDependency[Charges],
        charge: FromPath[str],
    ) -> ChargeView:
        """One charge."""
        return charges.show(await charges.get(charge, app.id))

    @post("/charges/{charge:str}/refunds")
    async def refund(
        self,
        app: NamedDependency[App],
        charges: NamedDependency[Charges],
        refunds: NamedDependency[Refunds],
        charge: FromPath[str],
        data: JSONBody[RefundAsked],
        idempotency_key: IdempotencyKey = None,
    ) -> RefundView:
        """Refund a charge, also when the person has ended the app's access."""
        found = await charges.get(charge, app.id)
        return show_refund(await refunds.create(found, data, idempotency_key))

    @post("/payouts")
    async def pay(
        self,
        principal: NamedDependency[Principal],
        app: NamedDependency[App],
        payouts: NamedDependency[Payouts],
        data: JSONBody[PayoutAsked],
        idempotency_key: IdempotencyKey = None,
    ) -> PayoutView:
        """Pay the app; for the operator."""
        principal.require_admin()
        payout = await payouts.create(app, data, idempotency_key, principal.user, principal.account)
        return show_payout(payout)
