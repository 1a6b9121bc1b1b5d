"""The endpoints of `/v1`: which method and path is which function, and the parameters it takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from simulators.stripe import checkout, customers, endpoints, invoices, payments
from simulators.stripe.account import Account, Object, list_of
from simulators.stripe.errors import StripeError
from simulators.stripe.requests import (
    CreateEndpoint,
    CreateInvoice,
    CreateInvoiceItem,
    CreateRefund,
    CreateSession,
    CustomerParams,
    Finalize,
    ListCustomers,
    ListEvents,
    ListInvoiceItems,
    ListInvoicePayments,
    ListInvoices,
    ListOfPayment,
    ListParams,
    ListSessions,
    Params,
    PayInvoice,
    UpdateEndpoint,
    UpdateInvoice,
    UpdateMetadata,
)

Handler = Callable[..., Object]


class Route(NamedTuple):
    """An endpoint: the handler is called with the account, the parameters and the ids in the path."""

    method: str
    template: str
    params: type[Params]
    handler: Handler

    def match(self, method: str, path: str) -> list[str] | None:
        """The ids in the path, or None if it is another endpoint's."""
        names, parts = self.template.split("/"), path.split("/")
        if method != self.method or len(names) != len(parts):
            return None
        if any(name not in ("*", part) for name, part in zip(names, parts, strict=True)):
            return None
        return [part for name, part in zip(names, parts, strict=True) if name == "*"]


def route_of(method: str, path: str) -> tuple[Route, list[str]]:
    """The endpoint and the ids in its path; raises the 404."""
    for route in ROUTES:
        ids = route.match(method, path)
        if ids is not None:
            return route, ids
    raise StripeError(404, f"Unrecognized request URL ({method}: /v1{path})", began=False)


def _getter(kind: str) -> Handler:
    return lambda account, _params, object_id: account.get(kind, object_id)


def _lister(kind: str, url: str, *fields: str) -> Handler:
    def listed(account: Account, params: ListParams) -> Object:
        return account.page(url, _selected(account, kind, params, fields), params)

    return listed


def _selected(account: Account, kind: str, params: Any, fields: tuple[str, ...]) -> list[Object]:
    return account.find(kind, **{field: getattr(params, field) for field in fields})


def _without_params(handler: Callable[[Account, str], Object]) -> Handler:
    return lambda account, _params, object_id: handler(account, object_id)


def _session_lines(account: Account, params: ListParams, session_id: str) -> Object:
    lines = account.get("checkout.session", session_id)["_line_items"]
    return account.page(lines["url"], lines["data"], params)


def _invoice_lines(account: Account, params: ListParams, invoice_id: str) -> Object:
    lines = account.get("invoice", invoice_id)["lines"]
    return account.page(lines["url"], lines["data"], params)


def _invoice_payments(account: Account, params: ListInvoicePayments) -> Object:
    found = account.find("invoice_payment", invoice=params.invoice, status=params.status)
    if params.payment is not None:
        wanted = params.payment.payment_intent
        found = [each for each in found if each["payment"]["payment_intent"] == wanted]
    return account.page("/v1/invoice_payments", found, params)


def _events(account: Account, params: ListEvents) -> Object:
    found = account.find("event", type=params.type)
    if params.types is not None:
        found = [event for event in found if event["type"] in params.types]
    return account.page("/v1/events", found, params)


def _expire(account: Account, _params: Params, session_id: str) -> Object:
    return checkout.expire_session(account, account.get("checkout.session", session_id))


def _delete_customer(account: Account, _params: Params, customer_id: str) -> Object:
    customer = account.get("customer", customer_id)
    account.emit("customer.deleted", customer)
    return account.remove(customer)


def _lose(account: Account, _params: Params, dispute_id: str) -> Object:
    return payments.close_dispute(account, account.get("dispute", dispute_id), "lost")


def _endpoints(account: Account, _params: Params) -> Object:
    shown = [endpoint.shown for endpoint in account.webhooks.endpoints.values()]
    return list_of("/v1/webhook_endpoints", shown[::-1])


SESSIONS = "/checkout/sessions"

ROUTES = (
    Route("POST", SESSIONS, CreateSession, checkout.create_session),
    Route(
        "GET",
        SESSIONS,
        ListSessions,
        _lister("checkout.session", f"/v1{SESSIONS}", "customer", "payment_intent", "status"),
    ),
    Route("GET", f"{SESSIONS}/*", Params, _getter("checkout.session")),
    Route("POST", f"{SESSIONS}/*", UpdateMetadata, checkout.update_session),
    Route("POST", f"{SESSIONS}/*/expire", Params, _expire),
    Route("GET", f"{SESSIONS}/*/line_items", ListParams, _session_lines),
    Route("POST", "/customers", CustomerParams, customers.create_customer),
    Route("GET", "/customers", ListCustomers, _lister("customer", "/v1/customers", "email")),
    Route("GET", "/customers/*", Params, _getter("customer")),
    Route("POST", "/customers/*", CustomerParams, customers.update_customer),
    Route("DELETE", "/customers/*", Params, _delete_customer),
    Route("POST", "/invoiceitems", CreateInvoiceItem, invoices.create_item),
    Route(
        "GET",
        "/invoiceitems",
        ListInvoiceItems,
        _lister("invoiceitem", "/v1/invoiceitems", "customer", "invoice"),
    ),
    Route("GET", "/invoiceitems/*", Params, _getter("invoiceitem")),
    Route("POST", "/invoices", CreateInvoice, invoices.create_invoice),
    Route(
        "GET",
        "/invoices",
        ListInvoices,
        _lister("invoice", "/v1/invoices", "customer", "status", "collection_method"),
    ),
    Route("GET", "/invoices/*", Params, _getter("invoice")),
    Route("POST", "/invoices/*", UpdateInvoice, invoices.update_invoice),
    Route("DELETE", "/invoices/*", Params, _without_params(invoices.delete_draft)),
    Route("GET", "/invoices/*/lines", ListParams, _invoice_lines),
    Route("POST", "/invoices/*/finalize", Finalize, invoices.finalize_invoice),
    Route("POST", "/invoices/*/send", Params, _without_params(invoices.send_invoice)),
    Route("POST", "/invoices/*/pay", PayInvoice, invoices.pay_by_seller),
    Route("POST", "/invoices/*/void", Params, _without_params(invoices.void_invoice)),
    Route("POST", "/invoices/*/mark_uncollectible", Params, _without_params(invoices.write_off_invoice)),
    Route("GET", "/invoice_payments", ListInvoicePayments, _invoice_payments),
    Route("GET", "/invoice_payments/*", Params, _getter("invoice_payment")),
    Route(
        "GET",
        "/payment_intents",
        ListOfPayment,
        _lister("payment_intent", "/v1/payment_intents", "customer"),
    ),
    Route("GET", "/payment_intents/*", Params, _getter("payment_intent")),
    Route("GET", "/charges", ListOfPayment, _lister("charge", "/v1/charges", "customer", "payment_intent")),
    Route("GET", "/charges/*", Params, _getter("charge")),
    Route("POST", "/refunds", CreateRefund, payments.create_refund),
    Route("GET", "/refunds", ListOfPayment, _lister("refund", "/v1/refunds", "charge", "payment_intent")),
    Route("GET", "/refunds/*", Params, _getter("refund")),
    Route("POST", "/refunds/*", UpdateMetadata, payments.update_refund),
    Route("GET", "/disputes", ListOfPayment, _lister("dispute", "/v1/disputes", "charge", "payment_intent")),
    Route("GET", "/disputes/*", Params, _getter("dispute")),
    Route("POST", "/disputes/*/close", Params, _lose),
    Route("GET", "/events", ListEvents, _events),
    Route("GET", "/events/*", Params, _getter("event")),
    Route("POST", "/webhook_endpoints", CreateEndpoint, endpoints.create_endpoint),
    Route("GET", "/webhook_endpoints", ListParams, _endpoints),
    Route("GET", "/webhook_endpoints/*", Params, endpoints.get_endpoint),
    Route("POST", "/webhook_endpoints/*", UpdateEndpoint, endpoints.update_endpoint),
    Route("DELETE", "/webhook_endpoints/*", Params, endpoints.delete_endpoint),
)
