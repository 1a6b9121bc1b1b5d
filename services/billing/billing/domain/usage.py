"""Usage: what one finished request costs whom, exactly once, and the event that tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from billing.domain.accounts import REVENUE, UNCOLLECTED
from billing.domain.leases import is_uuid
from billing.domain.spenders import watch_budget
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import prompt_tokens
from common.contracts.streams import event_subject
from common.contracts.usage import AppliedTerms, PriceTerms, UsageRecord, UsageRecorded
from common.kit.ids import named_id
from common.kit.money import (
    MAX_NANO,
    cost_nano,
    format_decimal,
    format_rate,
    format_usd,
    product_micro,
)
from common.kit.outbox import OutboxEvent

if TYPE_CHECKING:
    from billing.domain.accounts import Customer
    from billing.domain.books import Books, Wanted

USAGE_RECORDED = "usage.recorded.v1"
_ENCODER = msgspec.json.Encoder(order="deterministic")  # the database keeps no order of keys
_MAX_STARTED_AT_MS = 4_102_444_800_000  # the year 2100
_MAX_INT = 2**31 - 1


class Charge(msgspec.Struct, frozen=True, gc=False):
    """A record and how it was paid: cost = from_held + overage + uncollected; balances are those after it.

    `transfer` is the id of its first transfer, empty when it cost nothing. `free_nano` is the part of
    from_held + overage that the free allowance paid for.
    """

    record: UsageRecord
    started_at: datetime
    sequence: int
    from_held_nano: int
    overage_nano: int
    uncollected_nano: int
    transfer: str
    balance_after: int
    held_after: int
    free_nano: int


class ChargeUsage(msgspec.Struct, frozen=True):
    """Charge the records, in order, that were never charged before; decided to their number."""

    records: tuple[UsageRecord, ...]

    @property
    def size(self) -> int:
        """One per record."""
        return len(self.records)

    def want(self, wanted: Wanted) -> None:
        """The records' ids, leases, spenders and accounts, and the platform's side."""
        wanted.counters.update((REVENUE, UNCOLLECTED))
        for record in self.records:
            wanted.usage.add(record.id)
            wanted.customers.add(record.account)
            if record.lease:
                wanted.leases.add(record.lease)
            wanted.spenders.setdefault(record.spender, (record.account, "key"))

    def decide(self, books: Books) -> int:
        """Charge; a record that was charged before, or earlier in this batch, is passed over."""
        charged = 0
        for record in self.records:
            if record.id in books.fresh_usage:
                books.fresh_usage.discard(record.id)
                _charge(books, record)
                charged += 1
        return charged


def check_record(record: UsageRecord) -> None:
    """Raise InvalidRequestError when the record can never be charged.

    Trust, but verify: the cost must be quantities x frozen prices x rate, to the nano.
    """
    if not (is_uuid(record.id) and is_uuid(record.account) and is_uuid(record.spender)):
        raise InvalidRequestError("id, account and spender are UUIDs.")
    if record.lease and not is_uuid(record.lease):
        raise InvalidRequestError("lease is a UUID or empty.", param="lease")
    if not 0 <= record.started_at_ms < _MAX_STARTED_AT_MS:
        raise InvalidRequestError("started_at_ms is no time of ours.", param="started_at_ms")
    if not (
        0 <= record.duration_ms <= _MAX_INT
        and 0 <= (record.first_byte_ms or 0) <= _MAX_INT
        and 0 <= record.status <= _MAX_INT
        and 0 <= record.price_version <= _MAX_INT
    ):
        raise InvalidRequestError("A duration, status or version is out of range.")
    if not (
        0 <= record.cost_nano <= MAX_NANO
        and 0 <= record.reserved_nano <= MAX_NANO
        and 0 <= record.rate_micro <= MAX_NANO
        and 0 <= (record.upstream_cost_nano or 0) <= MAX_NANO
    ):
        raise InvalidRequestError("An amount is negative or too large.")
    if record.terms is not None:
        _check_terms(record, record.terms)
    if min(record.quantities.values(), default=0) < 0 or min(record.unit_pico.values(), default=0) < 0:
        raise InvalidRequestError("A quantity or price is negative.", param="quantities")
    expected = cost_nano(record.quantities, record.unit_pico, record.rate_micro)
    if expected != record.cost_nano:
        raise InvalidRequestError(f"cost_nano is {record.cost_nano}, its parts make {expected}.")


def _check_terms(record: UsageRecord, terms: PriceTerms) -> None:
    rates = terms.multipliers
    if terms.group_rate_micro < 0 or min(rates.values(), default=0) < 0:
        raise InvalidRequestError("A rate is negative.", param="terms")
    product = product_micro((terms.group_rate_micro, *rates.values())) if rates else terms.group_rate_micro
    if product != record.rate_micro:
        raise InvalidRequestError(f"rate_micro is {record.rate_micro}, its parts make {product}.")
    if terms.tier_above < 0 or (terms.tier_above and prompt_tokens(record.quantities) <= terms.tier_above):
        raise InvalidRequestError("The prompt does not reach the tier.", param="terms")


def without_nul(record: UsageRecord) -> UsageRecord:
    """The record with NUL characters replaced: PostgreSQL's text has none, and a client may send one."""
    texts = {
        name: value.replace("\0", "\ufffd")
        for name in record.__struct_fields__
        if isinstance(value := getattr(record, name), str) and "\0" in value
    }
    counts = {
        name: {unit.replace("\0", "\ufffd"): number for unit, number in getattr(record, name).items()}
        for name in ("quantities", "unit_pico")
        if any("\0" in unit for unit in getattr(record, name))
    }
    return msgspec.structs.replace(record, **texts, **counts)


def _charge(books: Books, record: UsageRecord) -> None:
    customer = books.customers[record.account]
    left = record.cost_nano
    transfer = ""
    from_held = overage = 0
    if left:
        revenue = books.accounts[REVENUE]
        from_held = _spend_lease(books, record, customer)
        left -= from_held
        if from_held:
            transfer = record.id
            books.transfer("usage", customer.held, revenue, from_held, customer, record.id, transfer)
        overage = min(left, customer.wallet.balance)
        left -= overage
        if overage:
            id_ = named_id("overage", record.id)
            transfer = transfer or id_
            books.transfer("overage", customer.wallet, revenue, overage, customer, record.id, id_)
        if left:
            id_ = named_id("uncollected", record.id)
            transfer = transfer or id_
            source = books.accounts[UNCOLLECTED]
            books.transfer("uncollected", source, revenue, left, customer, record.id, id_)
        spender = books.spenders[record.spender]
        spender.use(from_held + overage, books.now)
        spender.hold(-from_held)
        watch_budget(books, spender)
    charge = Charge(
        record,
        datetime.fromtimestamp(record.started_at_ms / 1000, UTC),
        customer.next_usage_sequence(),
        from_held,
        overage,
        left,
        transfer,
        customer.wallet.balance,
        customer.held.balance,
        customer.spend_free(from_held + overage),
    )
    books.charges.append(charge)
    subject = event_subject(USAGE_RECORDED, record.account)
    books.events.append(OutboxEvent(record.id, subject, charge.sequence, usage_event(charge)))


def _spend_lease(books: Books, record: UsageRecord, customer: Customer) -> int:
    """What the lease still holds of the cost; 0 when it is expired, unknown or somebody else's."""
    lease = books.leases.get(record.lease)
    if lease is None or lease.account != customer.id or lease.spender != record.spender:
        return 0
    amount = min(record.cost_nano, lease.remaining_nano)
    if amount:
        lease.spent_nano += amount
        lease.changed = True
    return amount


def usage_event(charge: Charge) -> bytes:
    """The body of the public event: the same bytes from what was just decided and from what was stored."""
    return _ENCODER.encode(_event(charge))


def _event(charge: Charge) -> UsageRecorded:
    record = charge.record
    cost = format_usd(record.cost_nano)
    charged = charge.from_held_nano + charge.overage_nano
    return UsageRecorded(
        id=record.id,
        sequence=charge.sequence,
        account=record.account,
        user=record.user,
        spender=record.spender,
        request_id=record.request_id,
        operation=record.operation,
        model=record.model,
        upstream_model=record.upstream_model,
        channel=record.channel,
        group=record.group,
        started_at=charge.started_at.isoformat(timespec="milliseconds"),
        duration_ms=record.duration_ms,
        first_byte_ms=record.first_byte_ms,
        status=record.status,
        outcome=record.outcome,
        streamed=record.streamed,
        estimated=record.estimated,
        partial=record.partial,
        quantities=record.quantities,
        price_version=record.price_version,
        unit_prices={unit: _unit_price(price) for unit, price in record.unit_pico.items()},
        rate=_rate(record.rate_micro),
        cost=cost,
        charged=cost if charged == record.cost_nano else format_usd(charged),
        overage=format_usd(charge.overage_nano) if charge.overage_nano else "0",
        uncollected=format_usd(charge.uncollected_nano) if charge.uncollected_nano else "0",
        balance=format_usd(charge.balance_after),
        held=format_usd(charge.held_after),
        app=record.app,
        free=format_usd(charge.free_nano) if charge.free_nano else "0",
        terms=None if record.terms is None else applied_terms(record.terms),
    )


def applied_terms(terms: PriceTerms) -> AppliedTerms:
    """The terms as they are told to people and consumers."""
    rates = {name: _rate(micro) for name, micro in terms.multipliers.items()}
    return AppliedTerms(terms.model, terms.tier_above, _rate(terms.group_rate_micro), rates)


@lru_cache(4096)
def _unit_price(pico: int) -> str:
    return format_decimal(pico, 12)


@lru_cache(256)
def _rate(rate_micro: int) -> str:
    return format_rate(rate_micro)
