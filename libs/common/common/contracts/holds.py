"""Holds: money set aside for work with a known price, taken or given back once (media tasks, app charges).

TigerBeetle's two-phase transfers are the model (docs/coding/two-phase-transfers.md).

- The caller mints every id (UUIDs, lower case) and stores it before it calls. The same id with the same body
  gets the same answer, however often and whatever happened since; with another body it is refused with 409
  `conflict`. `budget`, `spender_kind` are what the principal says at the moment and no part of the body.
- An `open` or `extend` that was refused for want of money or budget (402 `insufficient_quota`, 403
  `budget_exceeded`, 403 `max_charge_exceeded`) stays refused under its id for ever: a new attempt takes a new
  id. Any other refusal has changed nothing, and the same id may be used again.
- A hold is resolved at most once, by capture, void or expiry. Later attempts are refused with 409
  `hold_already_captured`, `hold_already_voided` or `hold_expired`; a hold nobody opened is 404
  `hold_not_found`. Taking more than is held is 409 `exceeds_hold`, never silently more.
- Time is the ledger's clock. From `expires_at_ms` on nothing can be captured or voided; the money is back in
  the wallet at the latest one round of the sweeper later, holds that expire earlier first.
- Malformed ids, amounts that are not above zero or exceed 64 bits, and other currencies than USD (400
  `currency_mismatch`) are 400 and name the field. An account nobody paid into has no balance: 402.
- Every call may also be answered 503 or 504: then repeat it with the same ids.
"""

import msgspec

from common.contracts.principals import Budget, SpenderKind
from common.contracts.rpc import Method, RpcError

REVENUE_ACCOUNT = "revenue"
FEES_ACCOUNT = "fees"
APP_PAYABLE = "app_payable:"
"""Followed by the client id of an app: what the platform owes it."""


class HoldOpen(msgspec.Struct, frozen=True, array_like=True):
    """Set `amount_nano` aside for `ttl_s` seconds from now: the whole of it or nothing.

    It must fit the wallet, the spender's budget and the budget's `max_charge_nano`. Idle money that relays
    lease is called back first, which takes up to half a second. `purpose` is a word (`task`, `charge`),
    `reference` the id it has with the caller (of a task or charge, at most 255 characters), `app` the OAuth
    client that acts, empty otherwise. `paid_only`: a free allowance may not pay for any of it, not even
    later, at its capture; required where the money can go to an app.
    """

    hold: str
    account: str
    spender: str
    amount_nano: int
    ttl_s: int
    spender_kind: SpenderKind = "key"
    budget: Budget | None = None
    purpose: str = "task"
    reference: str = ""
    app: str = ""
    paid_only: bool = False
    currency: str = "USD"


class HoldExtend(msgspec.Struct, frozen=True, array_like=True):
    """Hold `more_nano` more, or live at least `ttl_s` seconds from now, or both, of which one is above zero.

    `id` names this call. Money and budget are asked as by `open`; refused, the hold is what it was.
    """

    hold: str
    id: str
    more_nano: int = 0
    ttl_s: int = 0


class HoldCredit(msgspec.Struct, frozen=True, array_like=True):
    """A share of a capture: `account` is `revenue`, `fees` or `app_payable:<the hold's app>`."""

    account: str
    amount_nano: int


class HoldCapture(msgspec.Struct, frozen=True, array_like=True):
    """Take `amount_nano` (None: all that is held) and release the rest to the wallet, in one decision.

    `credits` say who gets it, each account once, and add up to the amount; without them `revenue` gets all.
    A share for an app takes a hold that is `paid_only` (else 409 `hold_not_paid_only`). Of other holds the
    free allowance pays first.
    """

    hold: str
    id: str
    amount_nano: int | None = None
    credits: tuple[HoldCredit, ...] = ()


class HoldVoid(msgspec.Struct, frozen=True, array_like=True):
    """Give all of it back to the wallet."""

    hold: str
    id: str


class HoldRefund(msgspec.Struct, frozen=True, array_like=True):
    """Give back `amount_nano` of what was captured (None: all that was not refunded yet).

    More than is left is 409 `exceeds_capture`, a hold that was never captured 409 `hold_not_captured`. It is
    taken from those who got the capture, in proportion to what each still has of it, rounded down; the
    nano-USD that are left over come one each from those with the largest remainders, the first named first.
    An app's account may go below zero by it: the app then owes that to the platform. Paid money comes back
    before what a free allowance paid, which comes back as free allowance. The spender's budget is not given
    back.
    """

    hold: str
    id: str
    amount_nano: int | None = None
    reason: str = ""


class HoldState(msgspec.Struct, frozen=True, array_like=True):
    """What a hold was right after the call: amount = held + captured + released; refunded <= captured.

    `state` is `open`, `captured`, `voided` or `expired`. `free_nano` is what of `captured_nano` a free
    allowance paid. `balance_nano` is the wallet's, `budget_left_nano` the spender's (None without a budget).
    `expires_at_ms` is Unix milliseconds on the ledger's clock. `shares` is what this call gave to each ledger
    account (a capture) or took from it (a refund).
    """

    hold: str
    account: str
    state: str
    amount_nano: int
    held_nano: int
    captured_nano: int
    released_nano: int
    refunded_nano: int
    free_nano: int
    balance_nano: int
    budget_left_nano: int | None
    expires_at_ms: int
    shares: tuple[HoldCredit, ...] = ()


class HoldCharge(msgspec.Struct, frozen=True, array_like=True):
    """Take the amount of `open` for `credits` at once: a hold that is captured in the decision that opens it.

    Refused and repeated by the hold's id, as `open` is; where `open` alone has used that id, 409 `conflict`.
    `id` is part of the body. The money never is in the held account.
    """

    open: HoldOpen
    id: str
    credits: tuple[HoldCredit, ...]


class HoldCharges(msgspec.Struct, frozen=True, array_like=True):
    """Charges that travel in one message, since broker and services pay per message.

    Each is decided as if it had come alone, but none waits for money that relays are asked to return.
    """

    charges: tuple[HoldCharge, ...]


class HoldOutcome(msgspec.Struct, frozen=True, array_like=True):
    """What one of them was answered, or why it was refused. Neither: nothing was done since relays were asked
    to return idle money; send it alone, which waits for that.
    """

    state: HoldState | None = None
    refused: RpcError | None = None


class HoldOutcomes(msgspec.Struct, frozen=True, array_like=True):
    """In the order of the charges."""

    outcomes: tuple[HoldOutcome, ...]


HOLD_OPEN: Method[HoldOpen, HoldState] = Method("rpc.billing.hold.open.v1", HoldOpen, HoldState)
HOLD_CHARGE: Method[HoldCharge, HoldState] = Method("rpc.billing.hold.charge.v1", HoldCharge, HoldState)
HOLD_CHARGES: Method[HoldCharges, HoldOutcomes] = Method(
    "rpc.billing.hold.charges.v1", HoldCharges, HoldOutcomes
)
HOLD_EXTEND: Method[HoldExtend, HoldState] = Method("rpc.billing.hold.extend.v1", HoldExtend, HoldState)
HOLD_CAPTURE: Method[HoldCapture, HoldState] = Method("rpc.billing.hold.capture.v1", HoldCapture, HoldState)
HOLD_VOID: Method[HoldVoid, HoldState] = Method("rpc.billing.hold.void.v1", HoldVoid, HoldState)
HOLD_REFUND: Method[HoldRefund, HoldState] = Method("rpc.billing.hold.refund.v1", HoldRefund, HoldState)
