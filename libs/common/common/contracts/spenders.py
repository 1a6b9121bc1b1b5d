"""What spenders have used of their budgets, for services that show it to whose money it is."""

import msgspec

from common.contracts.principals import BudgetPeriod
from common.contracts.rpc import Method


class SpendersRead(msgspec.Struct, frozen=True, array_like=True):
    """What have these keys or grants used? At most 1,000 ids."""

    spenders: tuple[str, ...]


class SpenderUse(msgspec.Struct, frozen=True, array_like=True):
    """Nano-USD: `used_nano` was charged in the window of `period` that is now, on the clock of `timezone`;
    `held_nano` is under way.
    """

    spender: str
    period: BudgetPeriod
    timezone: str
    used_nano: int
    held_nano: int


class SpendersState(msgspec.Struct, frozen=True, array_like=True):
    """Those that have spent or held something, in no order; the others have used nothing."""

    spenders: tuple[SpenderUse, ...]


SPENDERS_READ: Method[SpendersRead, SpendersState] = Method(
    "rpc.billing.spenders.read.v1", SpendersRead, SpendersState
)
