"""Usage: what one finished request consumed and cost. The charge and its explanation are the same record."""

from typing import Literal

import msgspec

Outcome = Literal["ok", "client_gone", "upstream_gone", "upstream_error", "quota_exhausted", "relay_error"]


class PriceTerms(msgspec.Struct, frozen=True):
    """Where a frozen price came from, when that is not simply the model's own base price x the group's rate.

    `model` is the name that the price is kept under (a dated name may be priced by its stem); `tier_above`
    the prompt size that the tier begins above, 0 for the base prices; `multipliers` maps each that matched to
    its millionths. The record's `rate_micro` is `group_rate_micro` and all of them multiplied, rounded once.
    """

    model: str
    tier_above: int
    group_rate_micro: int
    multipliers: dict[str, int]


class UsageRecord(msgspec.Struct, frozen=True, array_like=True):
    """One request as the relay saw it, on its way to billing. Internal: amounts are integers.

    `id` is minted by the relay (UUIDv7) and is what billing charges exactly once; `request_id` may come from
    the client and may repeat. `quantities` maps units of contracts.prices to counts, `unit_pico` is the
    frozen price of each, `rate_micro` the final multiplier; `cost_nano` is their product, rounded once,
    half to even. `terms` is None for a model's own base price at the group's rate. `estimated`: the upstream
    sent no usage and the counts are ours. `partial`: the answer was cut before its end. Times are Unix
    milliseconds and milliseconds. No prompt, no answer, no key. `app` is the OAuth client it was done
    through, empty for an API key. `upstream_cost_nano` is what the channel's upstream takes for it by the
    channel's cost terms, None when those are not known.
    """

    id: str
    request_id: str
    account: str
    user: str
    spender: str
    lease: str
    operation: str
    model: str
    upstream_model: str
    channel: str
    group: str
    started_at_ms: int
    duration_ms: int
    first_byte_ms: int | None
    status: int
    outcome: Outcome
    quantities: dict[str, int]
    unit_pico: dict[str, int]
    price_version: int
    rate_micro: int
    cost_nano: int
    reserved_nano: int = 0
    streamed: bool = False
    estimated: bool = False
    partial: bool = False
    terms: PriceTerms | None = None
    app: str = ""
    upstream_cost_nano: int | None = None


class UsageBatch(msgspec.Struct, frozen=True, array_like=True):
    """What a relay replica publishes every few milliseconds on `intake.usage.<replica>`; msgpack.

    Acknowledged by JetStream before the replica frees the reservations of its records.
    """

    replica: str
    records: tuple[UsageRecord, ...]


class AppliedTerms(msgspec.Struct, frozen=True):
    """PriceTerms as the public event tells them: rates are decimal strings, `tier_above` is tokens."""

    model: str
    tier_above: int
    group_rate: str
    multipliers: dict[str, str]


class UsageRecorded(msgspec.Struct, frozen=True, tag="usage.recorded.v1", tag_field="type"):
    """The public event, one per request, written by billing in the transaction that charged it.

    Amounts are decimal strings in `currency`. `sequence` is gap-free per account within the USAGE stream.
    `charged` = from_held + from_wallet (the overage beyond the lease) and `uncollected` is what the balance
    could not cover; cost = charged + uncollected. `free` is what of `charged` the free allowance paid.
    `balance` and `held` are the account's after this charge.
    """

    id: str
    sequence: int
    account: str
    user: str
    spender: str
    request_id: str
    operation: str
    model: str
    upstream_model: str
    channel: str
    group: str
    started_at: str
    duration_ms: int
    first_byte_ms: int | None
    status: int
    outcome: str
    streamed: bool
    estimated: bool
    partial: bool
    quantities: dict[str, int]
    price_version: int
    unit_prices: dict[str, str]
    rate: str
    cost: str
    charged: str
    overage: str
    uncollected: str
    balance: str
    held: str
    currency: str = "USD"
    terms: AppliedTerms | None = None
    app: str = ""
    free: str = "0"
