"""Charges as their owner reads them: what was used, what it cost and why."""

from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from common.contracts.errors import InvalidRequestError
from common.contracts.usage import PriceTerms

NEWEST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Position(NamedTuple):
    """A place in an account's list of charges, newest first."""

    started_at: datetime
    id: str

    def cursor(self) -> str:
        """As clients pass it back: microseconds since 1970, a hyphen, the id."""
        since = self.started_at - datetime(1970, 1, 1, tzinfo=UTC)
        return f"{since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds}-{self.id}"


class Balances(NamedTuple):
    """Nano-USD of an account: `wallet_nano` can be spent, `held_nano` is under way; `free_nano` of both is a
    free allowance. `debt_nano` is what money that comes in pays first.
    """

    wallet_nano: int
    held_nano: int
    free_nano: int
    debt_nano: int = 0


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What of the usage log is wanted; None is anything. An empty `app` is what was done by API key.

    `since` up to and without `until` is when the request started.
    """

    account: str | None = None
    spender: str | None = None
    model: str | None = None
    channel: str | None = None
    app: str | None = None
    operation: str | None = None
    outcome: str | None = None
    estimated: bool | None = None
    partial: bool | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


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
    app: str
    upstream_cost_nano: int | None
    free_nano: int
    terms: PriceTerms | None
    refunded_nano: int = 0

    @property
    def position(self) -> Position:
        """Where it is in its account's list."""
        return Position(self.started_at, self.id)


def parse_cursor(text: str) -> Position:
    """The position of a `before` cursor; InvalidRequestError when it is none."""
    micros, _, id_ = text.partition("-")
    if not (micros.isascii() and micros.isdigit() and len(micros) <= 16 and len(id_) == len(NEWEST_ID)):
        raise InvalidRequestError("Not a cursor of this list.", param="before")
    seconds, rest = divmod(int(micros), 1_000_000)
    return Position(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest), id_)
