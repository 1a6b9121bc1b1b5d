"""GET /api/billing/transfers and /api/billing/balance."""

from datetime import UTC
from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from billing.domain.accounts import held_name, wallet_name
from billing.domain.leases import is_uuid
from billing.domain.periods import parse_period, parse_time
from billing.routes.principals import account_of
from billing.statements.domain.ports import TransferReader
from billing.statements.domain.transfers import Balance, PostedTransfer, TransferQuery, parse_place
from billing.statements.usecases.transfers import list_transfers, read_balance
from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import format_usd


class TransferItem(msgspec.Struct, frozen=True):
    """One transfer. `change` is its effect on the account's money, held or not; `balance` and `held` are the
    account's right after it, null where it did not touch them.
    """

    id: str
    posted_at: str
    kind: str
    amount: str
    change: str
    debit: str
    credit: str
    balance: str | None
    held: str | None
    reference: str
    currency: str = "USD"


class TransferList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `after` of the next page, null at the end."""

    data: list[TransferItem]
    next: str | None


class BalanceAt(msgspec.Struct, frozen=True):
    """What an account had right before `at`."""

    account: str
    at: str
    balance: str
    held: str
    currency: str = "USD"


class TransferController(Controller):
    """Balance history."""

    path = "/api/billing"
    tags = ("billing",)

    @get("/transfers")
    async def list_(  # noqa: PLR0913  one per parameter
        self,
        principal: NamedDependency[Principal],
        transfers: NamedDependency[TransferReader],
        *,
        account: FromQuery[str | None] = None,
        kind: FromQuery[str | None] = None,
        since: Annotated[str | None, QueryParameter(name="from")] = None,
        until: Annotated[str | None, QueryParameter(name="to")] = None,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> TransferList:
        """The caller's own; an admin may name another account."""
        account = account_of(principal, account)
        if kind is not None and "\0" in kind:
            raise InvalidRequestError("kind has no NUL.", param="kind")
        period = parse_period(since, until)
        place = parse_place(after)
        if not is_uuid(account):
            return TransferList([], None)
        query = TransferQuery(account, kind, period.since, period.until)
        rows = await list_transfers(transfers, query, place, limit + 1)
        page = rows[:limit]
        cursor = page[-1].place.cursor() if len(rows) > limit else None
        return TransferList([_item(row, account) for row in page], cursor)

    @get("/balance")
    async def balance(
        self,
        principal: NamedDependency[Principal],
        transfers: NamedDependency[TransferReader],
        at: FromQuery[str],
        account: FromQuery[str | None] = None,
    ) -> BalanceAt:
        """Of the caller's own account; an admin may name another."""
        account = account_of(principal, account)
        moment = parse_time(at, "at")
        balance = await read_balance(transfers, account, moment) if is_uuid(account) else Balance(0, 0)
        return BalanceAt(
            account, moment.isoformat(), format_usd(balance.wallet_nano), format_usd(balance.held_nano)
        )


def _item(row: PostedTransfer, account: str) -> TransferItem:
    balance, held = row.after(wallet_name(account)), row.after(held_name(account))
    return TransferItem(
        id=row.id,
        posted_at=row.posted_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        kind=row.kind,
        amount=format_usd(row.amount_nano),
        change=format_usd(row.change_nano(account)),
        debit=row.debit,
        credit=row.credit,
        balance=None if balance is None else format_usd(balance),
        held=None if held is None else format_usd(held),
        reference=row.reference,
    )
