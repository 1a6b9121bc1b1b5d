"""Charges: an app takes money of a person's balance, now or later, within what the person allowed.

opening ─▶ succeeded                                     capture: true
   ├─────▶ requires_capture ─▶ capturing ─▶ succeeded    capture: false
   │              └──────────▶ canceling ─▶ canceled | expired
   └─────▶ failed                                        refused for ever under this key
A row in `opening`, `capturing` or `canceling` says what was asked of the ledger, and by which ids: whoever
finds it there after a crash asks again and gets the same answer.
"""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from common.contracts.errors import InvalidRequestError
from common.contracts.holds import APP_PAYABLE, FEES_ACCOUNT, HoldCredit
from common.kit.ids import named_id
from common.kit.money import MICRO, format_usd, round_half_even
from oauth.domain.details import parse_amount

State = Literal[
    "opening", "requires_capture", "capturing", "canceling", "succeeded", "canceled", "expired", "failed"
]
Status = Literal["pending", "requires_capture", "succeeded", "canceled", "expired", "failed"]
"""A state as apps see it."""
UNDER_WAY: tuple[State, ...] = ("opening", "capturing", "canceling")
HOLD_TTL = timedelta(days=7)
"""How long what is held for an app waits for its capture."""
PATIENCE = timedelta(seconds=30)
"""After so long a decision that was not heard is asked for again: no call can still be under way."""
MAX_KEY = 255
MAX_DESCRIPTION = 500
MAX_REFERENCE = 255
MAX_METADATA = 20
MAX_NAME = 40
_VERSION = 14
"""Where the text of a UUID has its version; our ids are of version 7."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENCODER = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder(order="deterministic")


class ChargeAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an app asks: `amount` is a decimal string of USD. `capture` false: hold it, for 7 days at most."""

    amount: str
    currency: str = "USD"
    description: str = ""
    reference: str = ""
    capture: bool = True
    metadata: dict[str, str] = {}

    def fingerprint(self, amount_nano: int) -> bytes:
        """SHA-256 of what must be the same for a key to mean the same."""
        metadata = tuple(sorted(self.metadata.items()))
        body = (amount_nano, self.currency, self.description, self.reference, self.capture, metadata)
        return hashlib.sha256(_ENCODER.encode(body)).digest()


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One charge. `app` is App.id; `user` and `account` are who pays; `key` is the app's Idempotency-Key.

    While it is `capturing`, `captured_nano` is what was asked for. `refunding_nano` is on its way back.
    `fee_nano` is the platform's share of captured - refunded. `remaining_nano` is what the grant had left.
    """

    id: str
    app: str
    client_id: str
    grant: str
    user: str
    account: str
    key: str
    fingerprint: bytes
    state: State
    amount_nano: int
    capture: bool
    fee_micro: int
    description: str
    reference: str
    metadata: str
    captured_nano: int = 0
    refunded_nano: int = 0
    refunding_nano: int = 0
    fee_nano: int = 0
    remaining_nano: int | None = None
    failure: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    due_at: datetime | None = None

    @property
    def capture_id(self) -> str:
        """The id under which the ledger captures it, once: its own as UUIDv8 (RFC 9562 section 5.8), so that
        it lies beside it in an index.
        """
        return f"{self.id[:_VERSION]}8{self.id[_VERSION + 1 :]}"

    @property
    def void_id(self) -> str:
        """The id under which the ledger gives it back, once."""
        return named_id("charge-void", self.id)

    def credits(self, amount_nano: int) -> tuple[HoldCredit, ...]:
        """Who gets `amount_nano`: the platform its fee, rounded once, half to even, to the nano-USD; the app
        the rest.
        """
        fee_nano = round_half_even(amount_nano * self.fee_micro, MICRO)
        shares = ((APP_PAYABLE + self.client_id, amount_nano - fee_nano), (FEES_ACCOUNT, fee_nano))
        return tuple(HoldCredit(account, share) for account, share in shares if share)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger decided about `charge`, which is as it was when it was asked for."""

    charge: Charge
    state: State
    captured_nano: int = 0
    fee_nano: int = 0
    remaining_nano: int | None = None
    failure: str = ""
    expires_at: datetime | None = None
    due_at: datetime | None = None

    @property
    def is_told(self) -> bool:
        """Whether it has an event."""
        return self.charge.state != self.state and self.state in ("succeeded", "canceled", "expired")

    def after(self) -> Charge:
        """The charge as it is then."""
        known = self.charge
        return msgspec.structs.replace(
            known,
            state=self.state,
            captured_nano=self.captured_nano,
            fee_nano=self.fee_nano,
            remaining_nano=known.remaining_nano if self.remaining_nano is None else self.remaining_nano,
            failure=self.failure,
            expires_at=self.expires_at or known.expires_at,
            due_at=self.due_at,
        )


class ChargeView(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as apps see it. `user` is the app's own name for the person, `grant_remaining` what of the
    limit was left when it was decided.
    """

    id: str
    object: str = "charge"
    status: Status
    amount: str
    amount_captured: str
    amount_refunded: str
    fee: str
    currency: str = "USD"
    app: str
    user: str
    grant: str
    grant_remaining: str | None
    description: str
    reference: str
    metadata: msgspec.Raw
    failure: str | None
    created_at: datetime
    expires_at: datetime | None


def check_asked(asked: ChargeAsked) -> int:
    """The amount in nano-USD; InvalidRequestError names the field that is wrong."""
    if asked.currency != "USD":
        raise InvalidRequestError("Balances are in USD.", param="currency")
    amount_nano = read_amount(asked.amount)
    check_text("description", asked.description, MAX_DESCRIPTION)
    check_text("reference", asked.reference, MAX_REFERENCE)
    if len(asked.metadata) > MAX_METADATA:
        raise InvalidRequestError(f"At most {MAX_METADATA} entries.", param="metadata")
    for name, value in asked.metadata.items():
        check_text("metadata", name, MAX_NAME)
        check_text("metadata", value, MAX_DESCRIPTION)
    return amount_nano


def read_amount(text: str, param: str = "amount") -> int:
    """A decimal string of USD in nano-USD; InvalidRequestError unless it is above 0 and at most 1,000,000."""
    try:
        return parse_amount(text)
    except ValueError:
        raise InvalidRequestError(
            "An amount is a decimal string above 0 and up to 1000000, with at most 9 decimals.", param=param
        ) from None


def check_text(param: str, text: str, most: int) -> None:
    """InvalidRequestError unless it is short and has no NUL, which PostgreSQL cannot keep."""
    if len(text) > most or "\0" in text:
        raise InvalidRequestError(f"At most {most} characters, no NUL.", param=param)


def check_key(key: str | None) -> str:
    """The Idempotency-Key; InvalidRequestError unless there is one of 1 to 255 printable ASCII characters."""
    if key is None or not 0 < len(key) <= MAX_KEY or not (key.isascii() and key.isprintable()):
        raise InvalidRequestError(
            f"An Idempotency-Key of 1 to {MAX_KEY} printable ASCII characters is needed.",
            param="Idempotency-Key",
        )
    return key


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID as ids are written here."""
    return _UUID.fullmatch(text) is not None


def encode_metadata(metadata: dict[str, str]) -> str:
    """As it is stored and shown."""
    return _JSON.encode(metadata).decode()


class ChargeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `limit` charges of an app, a person or both, newest first, before the id `after`.

    Without `states` of all.
    """

    app: str | None = None
    user: str | None = None
    after: str | None = None
    limit: int = 50
    states: tuple[State, ...] = ()


def status_of(state: State) -> Status:
    """What apps see of a state."""
    if state == "opening" or state == "capturing" or state == "canceling":  # noqa: PLR1714  for mypy
        return "pending"
    return state


def states_of(status: Status) -> tuple[State, ...]:
    """The states that look so."""
    return UNDER_WAY if status == "pending" else (status,)


def show(charge: Charge, subject: str) -> ChargeView:
    """The charge as the app sees it that knows the person as `subject`."""
    taken_nano = charge.captured_nano if charge.state == "succeeded" else 0
    return ChargeView(
        id=charge.id,
        status=status_of(charge.state),
        amount=format_usd(charge.amount_nano),
        amount_captured=format_usd(taken_nano),
        amount_refunded=format_usd(charge.refunded_nano),
        fee=format_usd(charge.fee_nano),
        app=charge.client_id,
        user=subject,
        grant=charge.grant,
        grant_remaining=None if charge.remaining_nano is None else format_usd(charge.remaining_nano),
        description=charge.description,
        reference=charge.reference,
        metadata=msgspec.Raw(charge.metadata.encode()),
        failure=charge.failure or None,
        created_at=charge.created_at,
        expires_at=charge.expires_at,
    )
