"""The composition root of payments."""

from billing.parts import Feature, Parts
from billing.payments.adapters.no_stripe import NoStripe
from billing.payments.adapters.postgres.codes import PostgresCodes
from billing.payments.adapters.postgres.payments import PostgresPayments
from billing.payments.adapters.postgres.recharge import PostgresRatios
from billing.payments.adapters.postgres.reversals import PostgresReversals
from billing.payments.consumers.orders import add_order_methods
from billing.payments.domain.ports import Cashier
from billing.payments.domain.recharge import FILE_SOURCE, Ratio, make_ratio
from billing.payments.routes.codes import CodeController, RedemptionController
from billing.payments.routes.payments import PaymentController
from billing.payments.routes.recharge import RechargeController
from billing.payments.routes.webhooks import StripeWebhookController
from billing.payments.usecases.codes import Codes
from billing.payments.usecases.orders import Orders
from billing.payments.usecases.payments import Payments
from billing.payments.usecases.recharge import apply_ratios
from billing.payments.usecases.reversals import Reversals
from common.contracts.errors import InvalidRequestError
from common.kit.bootstrap import BootstrapError

SWEEP_S = 5.0


async def open_payments(parts: Parts) -> None:
    """Make the parts; the sweeper finishes what a crash left, and asks Stripe about what nobody told."""
    settings, database, state = parts.settings, parts.database, parts.state
    ratios = _file_ratios(parts)
    cashier = _cashier(parts)
    store, ratio_store = PostgresPayments(database), PostgresRatios(database)
    payments = Payments(store, cashier, parts.writer, parts.clock)
    reversals = Reversals(payments, store, PostgresReversals(database), cashier, parts.writer, parts.clock)
    codes = Codes(PostgresCodes(database), parts.writer, parts.clock, settings.code_pepper)
    orders = Orders(payments, ratio_store, parts.clock, settings.payment_return_url)
    add_order_methods(parts.server, orders)
    state.cashier = cashier
    state.payments = payments
    state.reversals = reversals
    state.ratios = ratio_store
    state.codes = codes
    state.clock = parts.clock
    state.payment_return_url = settings.payment_return_url
    parts.until_done(lambda: apply_ratios(ratio_store, ratios))
    parts.every(SWEEP_S, codes.sweep)
    if settings.stripe_api_key:
        parts.every(SWEEP_S, payments.sweep)
        parts.every(SWEEP_S, reversals.sweep)


def _cashier(parts: Parts) -> Cashier:
    settings = parts.settings
    if not settings.stripe_api_key:
        return NoStripe()
    from billing.payments.adapters.http_stripe import StripeCashier  # noqa: PLC0415  40 MB only who pays needs

    cashier = StripeCashier(settings.stripe_api_key, settings.webhook_secrets, settings.stripe_api_base)
    parts.stack.push_async_callback(cashier.close)
    return cashier


def _file_ratios(parts: Parts) -> list[Ratio]:
    try:
        return [make_ratio(spec.currency, spec.price, FILE_SOURCE) for spec in parts.bootstrap.recharge]
    except InvalidRequestError as error:
        raise BootstrapError(f"{parts.settings.bootstrap}: recharge: {error.message}") from None


PAYMENTS = Feature(
    controllers=(
        PaymentController,
        RechargeController,
        CodeController,
        RedemptionController,
        StripeWebhookController,
    ),
    names=("cashier", "payments", "reversals", "ratios", "codes", "clock", "payment_return_url"),
    open=open_payments,
)
