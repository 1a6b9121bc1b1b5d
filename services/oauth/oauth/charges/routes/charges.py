"""/oauth/v1/charges: what an app does with a person's balance, by that person's access token."""

import re
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from common.contracts.errors import InvalidRequestError
from common.kit.asgi import Receive, Scope, header, read_body
from oauth.charges.domain.charges import Charge, ChargeAsked, ChargeQuery, ChargeView, Status, states_of
from oauth.charges.domain.refunds import RefundAsked, RefundView, show_refund
from oauth.charges.routes.errors import charge_handlers
from oauth.charges.usecases.charges import Charges
from oauth.charges.usecases.refunds import Refunds
from oauth.domain.tokens import LiveToken
from oauth.routes.bearers import check_bearer, require
from oauth.routes.front import Answer, Hot, json_answer
from oauth.routes.principals import cursor_of
from oauth.usecases.batches import Gate
from oauth.usecases.bearers import Bearers

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]
PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]
_MAX_BODY_BYTES = 2**20
_DECODER = msgspec.json.Decoder(ChargeAsked, strict=False)
_INVALID = re.compile(r"(.*?)(?: - at `\$\.(\w+).*)?", re.DOTALL)
"""What msgspec says of a value: what is wrong, and where."""


class CaptureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is a decimal string of USD; without it all that is held is taken."""

    amount: str | None = None


class ChargeList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `after` of the next page, null at the end."""

    data: list[ChargeView]
    next: str | None


class RefundList(msgspec.Struct, frozen=True):
    """In the order they were made."""

    data: list[RefundView]
    next: str | None = None


class ChargeController(Controller):
    """Charges of the token's app to the token's person; others are indistinguishable from none.

    They are made by `hot_charges`.
    """

    path = "/oauth/v1/charges"
    dependencies = {"token": require("charge")}  # noqa: RUF012
    exception_handlers = charge_handlers

    @get()
    async def list_(
        self,
        token: NamedDependency[LiveToken],
        charges: NamedDependency[Charges],
        status: FromQuery[Status | None] = None,
        after: FromQuery[str | None] = None,
        limit: PageLimit = 50,
    ) -> ChargeList:
        """Newest first, of one status when one is named."""
        app, user = token.app.id, token.person.user
        states = () if status is None else states_of(status)
        query = ChargeQuery(app=app, user=user, after=cursor_of(after), limit=limit + 1, states=states)
        found = await charges.list_page(query)
        return charge_list(charges, found, limit)

    @get("/{charge:str}")
    async def read(
        self, token: NamedDependency[LiveToken], charges: NamedDependency[Charges], charge: FromPath[str]
    ) -> ChargeView:
        """One charge."""
        return charges.show(await _found(charges, token, charge))

    @post("/{charge:str}/capture", status_code=200)
    async def capture(
        self,
        token: NamedDependency[LiveToken],
        charges: NamedDependency[Charges],
        charge: FromPath[str],
        data: JSONBody[CaptureRequest],
    ) -> ChargeView:
        """Take what is held, or a part; the rest goes back at once."""
        return charges.show(await charges.capture(await _found(charges, token, charge), data.amount))

    @post("/{charge:str}/cancel", status_code=200)
    async def cancel(
        self, token: NamedDependency[LiveToken], charges: NamedDependency[Charges], charge: FromPath[str]
    ) -> ChargeView:
        """Give back what is held."""
        return charges.show(await charges.cancel(await _found(charges, token, charge)))

    @post("/{charge:str}/refunds")
    async def refund(
        self,
        token: NamedDependency[LiveToken],
        charges: NamedDependency[Charges],
        refunds: NamedDependency[Refunds],
        charge: FromPath[str],
        data: JSONBody[RefundAsked],
        idempotency_key: IdempotencyKey = None,
    ) -> RefundView:
        """Give back what was captured, or a part of it."""
        found = await _found(charges, token, charge)
        return show_refund(await refunds.create(found, data, idempotency_key))

    @get("/{charge:str}/refunds")
    async def refunds_of(
        self,
        token: NamedDependency[LiveToken],
        charges: NamedDependency[Charges],
        refunds: NamedDependency[Refunds],
        charge: FromPath[str],
    ) -> RefundList:
        """The charge's refunds."""
        found = await _found(charges, token, charge)
        return RefundList([show_refund(refund) for refund in await refunds.list_of(found)])


def hot_charges(bearers: Bearers, charges: Charges) -> Hot:
    """POST /oauth/v1/charges: charge now, or hold the amount for a capture within 7 days."""
    gate = Gate()

    async def create(scope: Scope, receive: Receive) -> Answer:
        body = await read_body(receive, _MAX_BODY_BYTES)
        leave = await gate.enter()
        try:
            live = await check_bearer(bearers, scope, "charge")
            key = header(scope["headers"], b"idempotency-key")
            asked = _read_asked(body)
            charge = await charges.create(live, asked, None if key is None else key.decode("latin-1"))
        finally:
            leave()
        return json_answer(201, charges.show(charge))

    return Hot(create, charge_handlers)


def _read_asked(body: bytes) -> ChargeAsked:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        told = _INVALID.fullmatch(str(error))
        message, name = told.groups() if told else ("The body is invalid.", None)
        raise InvalidRequestError(message, param=name) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequestError("The body is not JSON.") from None


def charge_list(charges: Charges, found: list[Charge], limit: int) -> ChargeList:
    """A page of `limit` from one more."""
    page = found[:limit]
    return ChargeList([charges.show(charge) for charge in page], page[-1].id if len(found) > limit else None)


async def _found(charges: Charges, token: LiveToken, charge: str) -> Charge:
    return await charges.get(charge, token.app.id, token.person.user)
