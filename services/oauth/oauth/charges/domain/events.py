"""What is told when a charge changes: to the event stream, and in the app's own words to its webhook."""

from datetime import datetime
from typing import Any

import msgspec

from common.contracts.oauth import (
    AppChargeCanceled,
    AppChargeCaptured,
    AppChargeExpired,
    AppChargeRefunded,
    AppChargeSucceeded,
    ChargeEvent,
)
from common.kit.ids import uuid7
from common.kit.money import format_usd
from oauth.charges.domain.charges import Charge, ChargeView, State
from oauth.charges.domain.refunds import Refund, RefundView, show_refund

_ENCODER = msgspec.json.Encoder()
_ENDS: dict[State, type[ChargeEvent]] = {"canceled": AppChargeCanceled, "expired": AppChargeExpired}


class Notice(msgspec.Struct, frozen=True):
    """The body of a webhook: `type` is `charge.succeeded` and the like, `data` the charge as it is then."""

    id: str
    type: str
    created_at: datetime
    data: ChargeView
    refund: RefundView | None = None


def settled_event(charge: Charge, before: State, sequence: int) -> ChargeEvent:
    """What a charge that was `before` became: of a Settlement that is told."""
    kind: type[ChargeEvent] = _ENDS.get(charge.state, AppChargeCaptured)
    if charge.state == "succeeded" and before == "opening":
        kind = AppChargeSucceeded
    return kind(**_fields(charge, sequence))


def refunded_event(charge: Charge, refund: Refund, sequence: int) -> AppChargeRefunded:
    """A refund that was made; `charge` is as it is after it."""
    return AppChargeRefunded(
        **_fields(charge, sequence),
        refund=refund.id,
        refund_amount=format_usd(refund.amount_nano),
        reason=refund.reason,
    )


def notice(event: ChargeEvent, view: ChargeView, now: datetime, refund: Refund | None = None) -> bytes:
    """The webhook's body; it names the person only as the app knows them."""
    kind = str(type(event).__struct_config__.tag).removeprefix("oauth.").removesuffix(".v1")
    told = None if refund is None else show_refund(refund)
    return _ENCODER.encode(Notice(event.id, kind, now, view, told))


def _fields(charge: Charge, sequence: int) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "sequence": sequence,
        "user": charge.user,
        "account": charge.account,
        "charge": charge.id,
        "grant": charge.grant,
        "app": charge.client_id,
        "amount": format_usd(charge.amount_nano),
        "captured": format_usd(charge.captured_nano if charge.state == "succeeded" else 0),
        "refunded": format_usd(charge.refunded_nano),
        "fee": format_usd(charge.fee_nano),
        "reference": charge.reference,
    }
