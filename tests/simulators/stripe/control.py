"""`/stripe/_sim`: what no seller can ask of Stripe: payers, banks, and webhooks that misbehave.

Every endpoint takes and answers JSON; an unknown field is a 400.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qs

import msgspec

from simulators.stripe.account import Account, Object
from simulators.stripe.checkout import pay_session
from simulators.stripe.endpoints import register
from simulators.stripe.errors import StripeError, invalid, missing
from simulators.stripe.invoices import pay_invoice
from simulators.stripe.payments import DisputeStatus, Outcome, charge_of, close_dispute, open_dispute
from simulators.stripe.requests import CreateEndpoint
from simulators.stripe.webhooks import Sending

SETTLE_S = 30

T = TypeVar("T")


class Config(Sending, kw_only=True):
    """`POST /_sim/config`: how events are sent, and what befalls the next `api_times` requests to `/v1`.

    `slow` waits `api_delay_s` before it executes; `lost` executes and cuts the connection; `error` answers
    500 without having executed.
    """

    api: Literal["normal", "slow", "lost", "error"] = "normal"
    api_times: int = 1
    api_delay_s: float = 0.5


class Pay(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /_sim/pay/{session or invoice}`."""

    outcome: Outcome = "succeed"
    email: str | None = None


class Dispute(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /_sim/dispute/{charge, intent, session or invoice}`: all of the charge, or `amount`."""

    amount: int | None = None
    reason: str = "fraudulent"


class CloseDispute(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /_sim/close/{dispute}`."""

    status: DisputeStatus


class AddEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /_sim/endpoints`: for a receiver whose secret was fixed before; every event if none is named."""

    url: str
    secret: str
    enabled_events: list[str] = []


class Emit(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /_sim/emit`: an event that nothing here led to, properly signed."""

    type: str
    object: dict[str, Any]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No body."""


def read_json(kind: type[T], body: bytes) -> T:
    """The body, or the defaults when there is none; raises the 400."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise invalid(str(error)) from error


async def control(account: Account, method: str, path: str, query: str, body: bytes) -> Object:
    """The answer of a control endpoint other than reset and config; raises the errors of what it does."""
    name, *ids = path.removeprefix("/").split("/")
    if (method, name, ids) == ("GET", "deliveries", []):
        return await _deliveries(account, parse_qs(query, keep_blank_values=True))
    command = COMMANDS.get(name)
    if method != "POST" or command is None or len(ids) != command.ids:
        raise StripeError(404, f"no {method} {path} here")
    return command.handler(account, read_json(command.body, body), *ids)


def _pay(account: Account, request: Pay, object_id: str) -> Object:
    item = account.lookup(object_id)
    if item is not None and item["object"] == "checkout.session":
        return pay_session(account, item, request.outcome, request.email)
    if item is not None and item["object"] == "invoice":
        return pay_invoice(account, item, request.outcome, request.email)
    raise missing("session or invoice", object_id, "id")


async def _deliveries(account: Account, query: dict[str, list[str]]) -> Object:
    if "settled" in query and not await account.webhooks.settle(SETTLE_S):
        raise StripeError(504, f"deliveries were still under way after {SETTLE_S} s")
    return account.webhooks.report(query.get("event", [None])[0])


def _dispute(account: Account, request: Dispute, object_id: str) -> Object:
    return open_dispute(account, charge_of(account, object_id), request.amount, request.reason)


def _close(account: Account, request: CloseDispute, dispute_id: str) -> Object:
    return close_dispute(account, account.get("dispute", dispute_id), request.status)


def _endpoint(account: Account, request: AddEndpoint) -> Object:
    params = CreateEndpoint(url=request.url, enabled_events=request.enabled_events or ["*"])
    return register(account, params, request.secret)


def _emit(account: Account, request: Emit) -> Object:
    return account.emit(request.type, request.object)


def _flush(account: Account, _request: Nothing) -> Object:
    account.webhooks.flush()
    return account.webhooks.report(None)


def _redeliver(account: Account, sending: Sending, event_id: str) -> Object:
    event = account.get("event", event_id)
    account.webhooks.publish(event, sending)
    return event


class Command(NamedTuple):
    """A control by `POST`: its body, what does it, and how many ids follow its name in the path."""

    body: type[msgspec.Struct]
    handler: Callable[..., Object]
    ids: int


COMMANDS = {
    "pay": Command(Pay, _pay, 1),
    "dispute": Command(Dispute, _dispute, 1),
    "close": Command(CloseDispute, _close, 1),
    "endpoints": Command(AddEndpoint, _endpoint, 0),
    "emit": Command(Emit, _emit, 0),
    "flush": Command(Nothing, _flush, 0),
    "redeliver": Command(Sending, _redeliver, 1),
}
