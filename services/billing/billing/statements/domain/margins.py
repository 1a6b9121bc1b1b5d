"""Margins: what customers paid against what the upstreams took."""

from collections.abc import Iterable

import msgspec

from billing.statements.domain.rollups import Rollup
from common.kit.money import round_half_even


class Margin(msgspec.Struct, frozen=True):
    """Of one channel or model; nano-USD, `percent_centi` in hundredths of a percent of `known_paid_nano`.

    `gross_nano` is what was charged less what a free allowance paid, `refunded_nano` what of that was given
    back. The margin is of the requests whose upstream cost is known: `known_paid_nano` (after refunds) -
    `upstream_nano`; the other `unknown_costs` are left out of it.
    """

    name: str
    requests: int
    unknown_costs: int
    gross_nano: int
    refunded_nano: int
    known_paid_nano: int
    upstream_nano: int

    @property
    def revenue_nano(self) -> int:
        """What people paid and did not get back."""
        return self.gross_nano - self.refunded_nano

    @property
    def margin_nano(self) -> int:
        """What is left, below zero for a loss."""
        return self.known_paid_nano - self.upstream_nano

    @property
    def percent_centi(self) -> int | None:
        """The margin in hundredths of a percent of what was paid; None when nothing was."""
        if not self.known_paid_nano:
            return None
        return round_half_even(self.margin_nano * 10_000, self.known_paid_nano)


def margins_of(rollups: Iterable[Rollup]) -> list[Margin]:
    """One per roll-up, in their order."""
    return [
        Margin(
            row.name,
            row.requests,
            row.unknown_costs,
            row.charged_nano - row.free_nano,
            row.refunded_nano - row.refunded_free_nano,
            row.known_paid_nano,
            row.upstream_nano,
        )
        for row in rollups
    ]


def total_margin(margins: Iterable[Margin]) -> Margin:
    """All of them as one, without a name."""
    rows = list(margins)
    return Margin(
        "",
        sum(row.requests for row in rows),
        sum(row.unknown_costs for row in rows),
        sum(row.gross_nano for row in rows),
        sum(row.refunded_nano for row in rows),
        sum(row.known_paid_nano for row in rows),
        sum(row.upstream_nano for row in rows),
    )
