"""The parameters of each endpoint, as far as the simulator knows them; others are refused as unknown."""

from typing import Literal

import msgspec

from simulators.stripe.parameters import Natural, Whole

Metadata = dict[str, str] | Literal[""]


class Params(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every endpoint takes; `expand` names ids to be answered as whole objects."""

    expand: list[str] = []


class CreatedRange(msgspec.Struct, forbid_unknown_fields=True):
    """Bounds of `created` in Unix seconds."""

    gt: Whole | None = None
    gte: Whole | None = None
    lt: Whole | None = None
    lte: Whole | None = None


class ListParams(Params, kw_only=True):
    """A page, newest first: `limit` 1 to 100, cursors are ids."""

    limit: Natural | None = None
    starting_after: str | None = None
    ending_before: str | None = None
    created: CreatedRange | None = None


class ListSessions(ListParams, kw_only=True):
    """`GET /v1/checkout/sessions`."""

    customer: str | None = None
    payment_intent: str | None = None
    status: str | None = None


class ListCustomers(ListParams, kw_only=True):
    """`GET /v1/customers`."""

    email: str | None = None


class ListInvoices(ListParams, kw_only=True):
    """`GET /v1/invoices`."""

    customer: str | None = None
    status: str | None = None
    collection_method: str | None = None


class ListInvoiceItems(ListParams, kw_only=True):
    """`GET /v1/invoiceitems`."""

    customer: str | None = None
    invoice: str | None = None


class PaymentFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Finds an invoice by what paid it."""

    type: Literal["payment_intent"]
    payment_intent: str | None = None


class ListInvoicePayments(ListParams, kw_only=True):
    """`GET /v1/invoice_payments`."""

    invoice: str | None = None
    status: str | None = None
    payment: PaymentFilter | None = None


class ListOfPayment(ListParams, kw_only=True):
    """`GET /v1/refunds`, `/v1/charges`, `/v1/disputes`, `/v1/payment_intents`."""

    charge: str | None = None
    payment_intent: str | None = None
    customer: str | None = None


class ListEvents(ListParams, kw_only=True):
    """`GET /v1/events`."""

    type: str | None = None
    types: list[str] | None = None


class ProductData(msgspec.Struct, forbid_unknown_fields=True):
    """What is sold, described in place."""

    name: str
    description: str | None = None
    images: list[str] = []
    metadata: Metadata = {}
    tax_code: str | None = None


class PriceData(msgspec.Struct, forbid_unknown_fields=True):
    """A price made in place, in the currency's smallest unit; one of the two amounts is needed."""

    currency: str
    unit_amount: Natural | None = None
    unit_amount_decimal: str | None = None
    product: str | None = None
    product_data: ProductData | None = None
    tax_behavior: str | None = None


class SessionLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a checkout; there are no stored prices here, so `price` is always missing."""

    quantity: Natural
    price: str | None = None
    price_data: PriceData | None = None


class PaymentIntentData(msgspec.Struct, forbid_unknown_fields=True):
    """Copied to the payment intent, which else gets nothing of the session's metadata."""

    metadata: Metadata = {}
    description: str | None = None
    receipt_email: str | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None


class CreateSession(Params, kw_only=True):
    """`POST /v1/checkout/sessions`."""

    mode: Literal["payment"]
    line_items: list[SessionLine]
    success_url: str
    cancel_url: str | None = None
    client_reference_id: str | None = None
    customer: str | None = None
    customer_email: str | None = None
    customer_creation: Literal["always", "if_required"] = "if_required"
    metadata: Metadata = {}
    expires_at: Natural | None = None
    payment_intent_data: PaymentIntentData | None = None
    payment_method_types: list[str] = []
    ui_mode: Literal["hosted", "hosted_page"] = "hosted_page"
    locale: str | None = None
    submit_type: str | None = None
    billing_address_collection: str | None = None
    allow_promotion_codes: bool | None = None


class UpdateMetadata(Params, kw_only=True):
    """Updates that are supported for metadata alone."""

    metadata: Metadata = {}


class CustomerParams(Params, kw_only=True):
    """`POST /v1/customers` and its update; an empty text unsets."""

    email: str | None = None
    name: str | None = None
    phone: str | None = None
    description: str | None = None
    address: dict[str, str] | None = None
    preferred_locales: list[str] | None = None
    metadata: Metadata = {}


class InvoicePaymentSettings(msgspec.Struct, forbid_unknown_fields=True):
    """How an invoice may be paid; kept and shown, not enforced."""

    payment_method_types: list[str] | None = None


class CreateInvoice(Params, kw_only=True):
    """`POST /v1/invoices`."""

    customer: str
    collection_method: Literal["charge_automatically", "send_invoice"] = "charge_automatically"
    days_until_due: Natural | None = None
    due_date: Natural | None = None
    auto_advance: bool = False
    currency: str | None = None
    description: str | None = None
    footer: str | None = None
    statement_descriptor: str | None = None
    pending_invoice_items_behavior: Literal["include", "exclude"] = "exclude"
    payment_settings: InvoicePaymentSettings | None = None
    metadata: Metadata = {}


class UpdateInvoice(Params, kw_only=True):
    """`POST /v1/invoices/{id}`; the description only while it is a draft."""

    metadata: Metadata = {}
    description: str | None = None
    auto_advance: bool | None = None


class CreateInvoiceItem(Params, kw_only=True):
    """`POST /v1/invoiceitems`: `amount` (negative: a credit), or `unit_amount_decimal` times `quantity`."""

    customer: str | None = None
    invoice: str | None = None
    amount: Whole | None = None
    unit_amount_decimal: str | None = None
    quantity: Natural | None = None
    currency: str | None = None
    description: str | None = None
    metadata: Metadata = {}


class Finalize(Params, kw_only=True):
    """`POST /v1/invoices/{id}/finalize`."""

    auto_advance: bool | None = None


class PayInvoice(Params, kw_only=True):
    """`POST /v1/invoices/{id}/pay`: `pm_card_visa` pays, `pm_card_chargeDeclined…` does not."""

    payment_method: str | None = None
    paid_out_of_band: bool = False


class CreateRefund(Params, kw_only=True):
    """`POST /v1/refunds`: one of charge and payment intent; no amount means what is left."""

    charge: str | None = None
    payment_intent: str | None = None
    amount: Natural | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None
    metadata: Metadata = {}


class CreateEndpoint(Params, kw_only=True):
    """`POST /v1/webhook_endpoints`."""

    url: str
    enabled_events: list[str]
    description: str | None = None
    api_version: str | None = None
    metadata: Metadata = {}


class UpdateEndpoint(Params, kw_only=True):
    """`POST /v1/webhook_endpoints/{id}`."""

    url: str | None = None
    enabled_events: list[str] | None = None
    disabled: bool | None = None
    description: str | None = None
    metadata: Metadata = {}
