"""One request's books: who asks, at what price, from which reservation, and the one record it ends in."""

import time

from chat_relay.domain import metering
from chat_relay.domain.channels import Target
from chat_relay.domain.estimates import input_tokens
from chat_relay.domain.leases import Reservation
from chat_relay.domain.prices import Quote
from chat_relay.domain.requests import RelayRequest
from chat_relay.domain.token_limits import TokenLimits
from chat_relay.usecases.usage import UsagePublisher
from common.contracts.principals import Principal
from common.contracts.usage import Outcome, UsageRecord
from common.kit.ids import uuid7
from common.kit.money import cost_nano


class Ledgers:
    """Where an exchange is written down when it ends."""

    __slots__ = ("limits", "usage")

    def __init__(self, usage: UsagePublisher, limits: TokenLimits) -> None:
        self.usage = usage
        self.limits = limits


class Exchange:
    """One request that reserved money. Whatever happens, `record` counts once: the first call wins."""

    __slots__ = (
        "_began",
        "_ledgers",
        "admitted_tokens",
        "first_byte_ms",
        "input_hold_nano",
        "may_grow",
        "outcome",
        "price",
        "principal",
        "quote",
        "recorded",
        "request",
        "reservation",
        "target",
    )

    def __init__(
        self,
        principal: Principal,
        request: RelayRequest,
        quote: Quote,
        reservation: Reservation,
        ledgers: Ledgers,
    ) -> None:
        self._began = time.perf_counter()
        self._ledgers = ledgers
        self.principal = principal
        self.request = request
        self.quote = quote
        self.price = quote.price
        self.reservation = reservation
        self.input_hold_nano = 0
        self.may_grow = False
        self.admitted_tokens = 0
        self.target: Target | None = None
        self.first_byte_ms: int | None = None
        self.recorded = False
        self.outcome: Outcome = "ok"

    def elapsed_s(self) -> float:
        """Seconds since the reservation."""
        return time.perf_counter() - self._began

    def mark_first_byte(self) -> None:
        """The first byte of an answer is on its way to the client."""
        if self.first_byte_ms is None:
            self.first_byte_ms = int((time.perf_counter() - self._began) * 1000)

    def record(
        self,
        outcome: Outcome,
        status: int,
        quantities: dict[str, int],
        *,
        estimated: bool = False,
        partial: bool = False,
    ) -> None:
        """Write the usage record; the reservation is settled when it is stored."""
        if self.recorded:
            return
        self.recorded = True
        self.outcome = outcome
        principal, request, target = self.principal, self.request, self.target
        quote = self.quote
        tier = quote.price.tier_of(quantities)
        prices = quote.price.unit_pico if tier is None else tier.unit_pico
        unit_pico = {unit: prices[unit] for unit in quantities if unit in prices}
        record = UsageRecord(
            id=uuid7(),
            request_id=principal.request_id,
            account=principal.account,
            user=principal.user,
            spender=principal.spender,
            lease=self.reservation.lease_id,
            operation=request.operation,
            model=request.model,
            upstream_model=target.upstream_model(request.model) if target else "",
            channel=target.name if target else "",
            group=principal.group,
            started_at_ms=quote.at_ms,
            duration_ms=int((time.perf_counter() - self._began) * 1000),
            first_byte_ms=self.first_byte_ms,
            status=status,
            outcome=outcome,
            quantities=quantities,
            unit_pico=unit_pico,
            price_version=quote.price.version,
            rate_micro=quote.rate_micro,
            cost_nano=cost_nano(quantities, unit_pico, quote.rate_micro),
            reserved_nano=self.reservation.amount_nano,
            streamed=request.stream,
            estimated=estimated,
            partial=partial,
            terms=quote.terms(request.model, tier),
            app=principal.app,
            upstream_cost_nano=target.costs.cost_nano(request.model, quantities, unit_pico)
            if target and quantities
            else 0,
        )
        tpm = principal.limits.tpm
        if tpm is not None:
            used = sum(count for unit, count in quantities.items() if unit != "call")
            more = used - self.admitted_tokens
            self._ledgers.limits.correct(principal.spender, tpm, more, time.monotonic())
        self._ledgers.usage.add(record, self.reservation)

    def record_estimate(
        self, outcome: Outcome, status: int, output_tokens: int, *, partial: bool = False
    ) -> None:
        """As `record`, with counts of our own: the input as sent, the output as delivered."""
        if self.recorded:
            return
        quantities = metering.estimated_quantities(input_tokens(self.request.body), output_tokens, self.price)
        self.record(outcome, status, quantities, estimated=True, partial=partial)
