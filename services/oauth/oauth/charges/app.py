"""The composition root of charges."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from common.contracts.errors import InvalidRequestError
from common.contracts.oauth import ChargeEvent
from common.webhooks.deliverer import Deliverer
from common.webhooks.lazy import LazySender
from oauth.adapters.vault import Vault
from oauth.charges.adapters.nats import NatsLedger
from oauth.charges.adapters.postgres.charges import PostgresCharges
from oauth.charges.adapters.postgres.deliveries import PostgresDeliveries
from oauth.charges.adapters.postgres.payouts import PostgresPayouts
from oauth.charges.adapters.postgres.refunds import PostgresRefunds
from oauth.charges.adapters.postgres.statements import PostgresStatements
from oauth.charges.adapters.postgres.stories import Stories
from oauth.charges.adapters.postgres.topups import PostgresTopups
from oauth.charges.adapters.postgres.webhooks import PostgresWebhooks, SecretBox
from oauth.charges.domain.charges import Charge, ChargeAsked
from oauth.charges.domain.events import notice
from oauth.charges.domain.refunds import Refund
from oauth.charges.domain.topups import TopupAsked
from oauth.charges.routes.apps import EarningsController
from oauth.charges.routes.charges import ChargeController, hot_charges
from oauth.charges.routes.people import PaidController
from oauth.charges.routes.topups import BalanceController, TopupController
from oauth.charges.routes.webhooks import AppWebhookController
from oauth.charges.usecases.charges import Charges
from oauth.charges.usecases.payouts import Payouts
from oauth.charges.usecases.refunds import Refunds
from oauth.charges.usecases.topups import Topups
from oauth.charges.usecases.webhooks import Webhooks
from oauth.domain.tokens import LiveToken
from oauth.parts import Feature, Parts

SWEEP_S = 2.0
DELIVER_S = 0.5
DELIVERY_DAYS = 30
"""How long a finished delivery is shown and can be sent again."""
_DAY_S = 86_400
StructT = TypeVar("StructT", bound=msgspec.Struct)


async def open_charges(parts: Parts) -> None:
    """Make the parts; the sweeps finish what a crash left."""

    def told(event: ChargeEvent, charge: Charge, now: datetime, refund: Refund | None) -> bytes:
        return notice(event, charges.show(charge), now, refund)

    database, clock, state = parts.database, parts.clock, parts.state
    stories = Stories(clock, told)
    store = PostgresCharges(database, stories, parts.notify)
    charges = Charges(store, parts.store, NatsLedger(parts.rpc), clock, parts.digester)
    refunds = Refunds(PostgresRefunds(database, stories, parts.notify), parts.rpc, clock)
    payouts = Payouts(PostgresPayouts(database), parts.store, parts.rpc, clock)
    topups = Topups(PostgresTopups(database), parts.rpc, clock)
    parts.hot["/oauth/v1/charges"] = hot_charges(state.bearers, charges)
    state.charges, state.refunds, state.payouts, state.topups = charges, refunds, payouts, topups
    state.app_statements = PostgresStatements(database)
    state.core_store = parts.store
    for sweep in (charges.sweep, refunds.sweep, payouts.sweep):
        parts.every(SWEEP_S, sweep)
    _deliver(parts)
    _offer(parts, charges, topups)


def _deliver(parts: Parts) -> None:
    """Tell apps of their charges."""
    settings, clock = parts.settings, parts.clock
    box = SecretBox(Vault(settings.secret_key, "webhook secrets"))
    store, queue = PostgresWebhooks(parts.database, box), PostgresDeliveries(parts.database, box)
    sender = LazySender(parts.stack, "application/json", allow_loopback=settings.allow_private)
    webhooks = Webhooks(store, queue, sender.send, clock, allow_private=settings.allow_private)
    parts.state.app_webhooks = webhooks

    async def forget() -> None:
        await queue.prune(clock() - timedelta(days=DELIVERY_DAYS))

    parts.every(_DAY_S, forget)
    parts.run(Deliverer(queue, sender.send, webhooks.give_up, clock, DELIVER_S).run())


def _offer(parts: Parts, charges: Charges, topups: Topups) -> None:
    """The same answers for the aliases' other paths."""

    async def charge(live: LiveToken, asked: Mapping[str, object], key: str) -> Mapping[str, object]:
        made = await charges.create(live, _read(asked, ChargeAsked), key or None)
        return _told(charges.show(made))

    async def balance(live: LiveToken, _: Mapping[str, object], __: str) -> Mapping[str, object]:
        return _told(await topups.balance(live))

    async def checkout(live: LiveToken, asked: Mapping[str, object], key: str) -> Mapping[str, object]:
        order = _read({**asked, "method": "stripe_checkout"}, TopupAsked)
        return _told(await topups.create(live, order, key or None))

    async def invoice(live: LiveToken, asked: Mapping[str, object], key: str) -> Mapping[str, object]:
        order = _read({**asked, "method": "stripe_invoice"}, TopupAsked)
        return _told(await topups.create(live, order, key or None))

    parts.resources |= {
        "charge": charge,
        "balance": balance,
        "topup_checkout": checkout,
        "topup_invoice": invoice,
    }


def _read(asked: Mapping[str, object], kind: type[StructT]) -> StructT:
    try:
        return msgspec.convert(asked, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None


def _told(view: Any) -> Mapping[str, object]:
    told: Mapping[str, object] = msgspec.json.decode(msgspec.json.encode(view))
    return told


CHARGES = Feature(
    controllers=(
        ChargeController,
        TopupController,
        BalanceController,
        EarningsController,
        AppWebhookController,
        PaidController,
    ),
    names=("charges", "refunds", "payouts", "topups", "app_statements", "app_webhooks", "core_store"),
    open=open_charges,
)
