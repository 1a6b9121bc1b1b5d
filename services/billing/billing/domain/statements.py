"""Charges as their owner reads them: what was used, what it cost and why."""

from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from common.contracts.errors import InvalidRequestError
from common.kit.money import MICRO, NANO_PER_USD, format_decimal, format_rate, format_usd

_PICO_NAMES = {"call", "second", "image", "megapixel", "character"}
NEWEST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Position(NamedTuple):
    """A place in an account's list of charges, newest first."""

    started_at: datetime
    id: str

    def cursor(self) -> str:
        """As clients pass it back: microseconds since 1970, a hyphen, the id."""
        since = self.started_at - datetime(1970, 1, 1, tzinfo=UTC)
        return f"{since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds}-{self.id}"


class ChargedUsage(msgspec.Struct, frozen=True):
    """A row of usage_records, in the order the reader selects."""

    id: str
    request_id: str
    account: str
    user: str
    spender: str
    operation: str
    model: str
    upstream_model: str
    channel: str
    group: str
    started_at: datetime
    duration_ms: int
    first_byte_ms: int | None
    status: int
    outcome: str
    streamed: bool
    estimated: bool
    partial: bool
    quantities: dict[str, int]
    unit_pico: dict[str, int]
    price_version: int
    rate_micro: int
    cost_nano: int
    from_held_nano: int
    overage_nano: int
    uncollected_nano: int
    balance_after: int
    held_after: int
    sequence: int

    @property
    def position(self) -> Position:
        """Where it is in its account's list."""
        return Position(self.started_at, self.id)


def explain(charge: ChargedUsage) -> list[str]:
    """The calculation line by line, so that anyone can repeat it to the nano-USD."""
    lines = []
    total = 0
    for unit, quantity in charge.quantities.items():
        price = charge.unit_pico.get(unit)
        if price is None:
            lines.append(f"{quantity} {unit}: no price, free")
            continue
        total += quantity * price
        amount = format_decimal(quantity * price, 12)
        lines.append(f"{quantity} {unit} x {_price(unit, price)} = {amount} USD")
    if charge.rate_micro != MICRO:
        product = format_decimal(total * charge.rate_micro, 18)
        lines.append(f"x {format_rate(charge.rate_micro)} (rate of group {charge.group}) = {product} USD")
    lines.append(f"rounded once to {NANO_PER_USD:,}ths, half to even: {format_usd(charge.cost_nano)} USD")
    lines.append(f"from the lease: {format_usd(charge.from_held_nano)} USD")
    if charge.overage_nano:
        lines.append(f"overage beyond the lease, from the wallet: {format_usd(charge.overage_nano)} USD")
    if charge.uncollected_nano:
        lines.append(f"not collected, the wallet was empty: {format_usd(charge.uncollected_nano)} USD")
    if charge.estimated:
        lines.append("estimated: the upstream reported no usage, so the counts are Tollway's own")
    if charge.partial:
        lines.append("partial: the answer was cut before its end and only what was delivered is charged")
    return lines


def parse_cursor(text: str) -> Position:
    """The position of a `before` cursor; InvalidRequestError when it is none."""
    micros, _, id_ = text.partition("-")
    if not (micros.isascii() and micros.isdigit() and len(micros) <= 16 and len(id_) == len(NEWEST_ID)):
        raise InvalidRequestError("Not a cursor of this list.", param="before")
    seconds, rest = divmod(int(micros), 1_000_000)
    return Position(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest), id_)


def _price(unit: str, pico: int) -> str:
    if unit in _PICO_NAMES:
        return f"{format_decimal(pico, 12)} USD"
    return f"{format_decimal(pico, 6)} USD per million"
