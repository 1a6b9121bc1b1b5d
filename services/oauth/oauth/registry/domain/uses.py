"""What a grant has spent of its limit, as the ledger counts."""

import msgspec

from common.contracts.principals import BudgetPeriod
from oauth.domain.grants import Spending


class Use(msgspec.Struct, frozen=True):
    """Nano-USD spent or under way in the window of `period` that is now, on the clock of `timezone`."""

    period: BudgetPeriod
    timezone: str
    amount_nano: int


def spent_of(spending: Spending, use: Use | None) -> int:
    """Nano-USD in the window that counts now: another period or clock has begun to count anew."""
    if use is None or (use.period, use.timezone) != (spending.period, spending.timezone):
        return 0
    return use.amount_nano
