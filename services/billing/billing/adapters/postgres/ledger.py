"""The ledger in PostgreSQL: a batch of operations is read and written by a dozen array statements.

One lock guards everything of a customer: the row in `customers`, taken by id. Leases, holds, spenders and the
two accounts belong to one customer for ever, and are read after it is locked, so that what another replica
committed is seen. Accounts of the platform are locked after all customers, by id. A row that must exist is
inserted before it is locked, since a row that is not there locks nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from billing.adapters.postgres.changes import CHANGES
from billing.adapters.postgres.copy import copy_rows
from billing.adapters.postgres.events import insert_events
from billing.adapters.postgres.holds import insert_holds, read_holds
from billing.adapters.postgres.inbox import claim
from billing.adapters.postgres.refunds import insert_refunds, read_refunded
from billing.adapters.postgres.usage import insert_charges
from billing.domain.accounts import PROMO, Account, Customer, held_name, wallet_name
from billing.domain.allowances import Allowances, is_due
from billing.domain.books import Books, Operation, PostedOperation, Transfer, Wanted
from billing.domain.leases import Lease
from billing.domain.spenders import Spender
from common.kit import outbox
from common.kit.db import Database, is_transient

USAGE_INBOX = "billing-usage"
PLANNER = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
"""Settings of the ledger's connections: it finds every row by an index. Left to itself the planner reads all
of a table while that is small, and a prepared statement keeps to that when it has grown.
"""
_UNIQUE_VIOLATION = "23505"  # another replica wrote the same id first: the next try finds it

# Whose leases, spenders and holds they are never changes, so it may be read before anything is locked. By
# join: a row that another batch changed meanwhile is looked at again, and `account IN (a query)` would ask
# all of the query again for each such row, and not find it.
_LOCK_CUSTOMERS = """
    SELECT account::text, usage_sequence, billing_sequence, low, recalled_at, free_nano, debt_nano,
        plan, plan_until, allowance_until, alert_nano, alerted, holds_nano, paid_holds_nano
    FROM (
        SELECT unnest($1::uuid[]) AS id
        UNION SELECT l.account FROM leases AS l WHERE l.id = ANY($2::uuid[])
        UNION SELECT s.account FROM spenders AS s WHERE s.id = ANY($3::uuid[])
        UNION SELECT h.account FROM holds AS h WHERE h.id = ANY($4::uuid[])) AS wanted
    JOIN customers ON customers.account = wanted.id
    ORDER BY customers.account FOR NO KEY UPDATE OF customers
"""
_INSERT_CUSTOMERS = "INSERT INTO customers (account) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"
_INSERT_ACCOUNTS = """
    INSERT INTO accounts (name, kind, customer)
    SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[]) ON CONFLICT DO NOTHING
"""
_INSERT_PLATFORM = """
    INSERT INTO accounts (name, kind, allow_negative) SELECT unnest($1::text[]), 'platform', true
    ON CONFLICT DO NOTHING
"""
# By join: against a long array of names the planner prefers to look at every account there is.
_READ_ACCOUNTS = """
    SELECT a.id, a.name, a.debits, a.credits, a.allow_negative
    FROM unnest($1::text[]) AS wanted (name) JOIN accounts AS a ON a.name = wanted.name
"""
_LOCK_PLATFORM = f"{_READ_ACCOUNTS} ORDER BY a.id FOR NO KEY UPDATE OF a"
# With the newest time there is a transfer of, and the end of the last month that takes no more. Whatever is
# later than `now` lies in the months from that of `now` on.
_READ_OWN_ACCOUNTS = f"""
    SELECT found.*, greatest(
        (SELECT posted_at FROM transfers WHERE posted_at >= $2 ORDER BY position DESC LIMIT 1),
        (SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' FROM bars)) AS newest
    FROM ({_READ_ACCOUNTS}) AS found
"""  # noqa: S608
_READ_LEASES = """
    SELECT id::text, replica, account::text, spender::text, expires_at, granted_nano, spent_nano,
        returned_nano, sequence, last_answer, state
    FROM leases WHERE id = ANY($1::uuid[])
"""
_SPENDER_TERMS = (
    "budget_nano", "period", "timezone", "alert_percent", "max_charge_nano", "window_start", "used_nano",
    "held_nano", "alerted", "exhausted",
)  # fmt: skip
_READ_SPENDERS = (
    f"SELECT id::text, account::text, kind, {', '.join(_SPENDER_TERMS)}"  # noqa: S608  names of our own
    " FROM spenders WHERE id = ANY($1::uuid[])"
)
_INSERT_SPENDERS = """
    INSERT INTO spenders (id, account, kind) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[])
    ON CONFLICT DO NOTHING
"""
_READ_OPERATIONS = "SELECT id::text, fingerprint, result FROM operations WHERE id = ANY($1::uuid[])"
_INSERT_OPERATIONS = """
    INSERT INTO operations (id, fingerprint, result, temporary, created_at)
    SELECT *, $5::timestamptz FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::boolean[])
"""

_TRANSFER_COLUMNS = (
    "id", "kind", "debit_account", "credit_account", "amount", "debit_after", "credit_after", "reference",
    "customer", "posted_at",
)  # fmt: skip
_LEASE_COLUMNS = (
    "id", "replica", "account", "spender", "granted_nano", "spent_nano", "returned_nano", "sequence",
    "last_answer", "state", "opened_at", "expires_at",
)  # fmt: skip
Review = Callable[[asyncpg.Connection, Books], Awaitable[None]]
"""What is done in a transaction that left `Books.reviews`, after its transfers are written."""


class MovedError(Exception):
    """Another replica made a lease, hold or spender after the lock was taken; the next try sees whose."""


class PostgresLedger:
    """The ledger's transactions. `allowances` is None until the plans are read; `review` sees payments."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.allowances: Allowances | None = None
        self.review: Review | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresLedgerSession"]:
        """See domain.ports.Ledger."""
        async with self._database.driver_transaction() as driver:
            yield PostgresLedgerSession(driver, self.allowances, self.review)

    def is_transient(self, error: BaseException) -> bool:
        """Server gone or starting, a deadlock, or another replica that wrote the same id first."""
        if isinstance(error, MovedError) or getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION:
            return True
        return is_transient(error)


class PostgresLedgerSession:
    """See domain.ports.LedgerSession."""

    def __init__(
        self, driver: asyncpg.Connection, allowances: Allowances | None = None, review: Review | None = None
    ) -> None:
        self._driver = driver
        self._allowances = allowances
        self._review = review
        self._before: dict[int, tuple[object, ...]] = {}

    async def load(self, operations: Sequence[Operation], now: datetime) -> Books:
        """See the module: locks first, facts after."""
        wanted = Wanted()
        for operation in operations:
            operation.want(wanted)
        books = Books(now)
        books.allowances = self._allowances
        await self._load_customers(books, wanted)
        await self._load_leases(books, wanted)
        await self._load_spenders(books, wanted)
        if wanted.usage:
            books.fresh_usage = await claim(self._driver, USAGE_INBOX, wanted.usage)
        if wanted.operations:
            posted = await self._driver.fetch(_READ_OPERATIONS, list(wanted.operations))
            books.operations = {row[0]: PostedOperation(row[0], row[1], row[2]) for row in posted}
        if wanted.refunds:
            books.refunded = await read_refunded(self._driver, wanted.refunds)
        self._before = CHANGES.remember(
            books.accounts.values(),
            books.customers.values(),
            books.spenders.values(),
            books.leases.values(),
            books.holds.values(),
        )
        return books

    async def save(self, books: Books) -> None:
        """Everything that changed, in a handful of statements."""
        driver = self._driver
        if books.transfers:
            rows = [_transfer_row(books, transfer) for transfer in books.transfers]
            await copy_rows(driver, "transfers", _TRANSFER_COLUMNS, rows)
        if books.reviews and self._review is not None:
            await self._review(driver, books)
        await CHANGES.execute(
            driver,
            self._before,
            [row for row in books.accounts.values() if row.changed],
            [row for row in books.customers.values() if row.changed],
            [row for row in books.spenders.values() if row.changed],
            [row for row in books.leases.values() if row.changed and not row.is_new],
            [row for row in books.holds.values() if row.changed and not row.is_new],
        )
        await insert_holds(driver, [hold for hold in books.holds.values() if hold.is_new])
        await insert_refunds(driver, books.new_refunds, books.now)
        new = [_lease_row(lease, books.now) for lease in books.leases.values() if lease.is_new]
        if new:
            await copy_rows(driver, "leases", _LEASE_COLUMNS, new)
        await insert_charges(driver, books.charges, books.now)
        if books.new_operations:
            posted = books.new_operations
            await driver.execute(
                _INSERT_OPERATIONS,
                [row.id for row in posted],
                [row.fingerprint for row in posted],
                [row.result for row in posted],
                [row.temporary for row in posted],
                books.now,
            )
        if books.events:
            await driver.execute(outbox.INSERT_PACKETS, outbox.packets(books.events), books.now)
            await insert_events(driver, books.events, books.now)

    async def _lock_customers(self, wanted: Wanted) -> Sequence[asyncpg.Record]:
        if not (wanted.customers or wanted.leases or wanted.spenders or wanted.holds):
            return []
        arrays = [list(ids) for ids in (wanted.customers, wanted.leases, wanted.spenders, wanted.holds)]
        rows: Sequence[asyncpg.Record] = await self._driver.fetch(_LOCK_CUSTOMERS, *arrays)
        missing = wanted.customers.difference(row[0] for row in rows)
        if missing:
            await self._insert_customers(sorted(missing))
            rows = await self._driver.fetch(_LOCK_CUSTOMERS, *arrays)
        return rows

    async def _load_customers(self, books: Books, wanted: Wanted) -> None:
        rows = await self._lock_customers(wanted)
        holds = await read_holds(self._driver, wanted.holds) if wanted.holds else []
        platform = wanted.platform.union(*(hold.credits for hold in holds))
        allowances = self._allowances
        if any(is_due(allowances, row[7], row[8], row[9], row[5], books.now) for row in rows):
            platform.add(PROMO)
        await self._load_platform(books, platform)
        names = [name for row in rows for name in (wallet_name(row[0]), held_name(row[0]))]
        month = books.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        own = await self._driver.fetch(_READ_OWN_ACCOUNTS, names, month)
        if own:
            # The ledger's clock never goes back: not behind what is posted, nor into a closed month.
            books.now = max(books.now, own[0][5] or books.now)
        self._take_accounts(books, [row[:5] for row in own])
        for row in rows:
            id_ = row[0]
            books.customers[id_] = Customer(
                id_,
                books.accounts[wallet_name(id_)],
                books.accounts[held_name(id_)],
                row[1],
                row[2],
                low=row[3],
                recalled_at=row[4],
                free_nano=row[5],
                debt_nano=row[6],
                plan=row[7],
                plan_until=row[8],
                allowance_until=row[9],
                alert_nano=row[10],
                alerted=row[11],
                holds_nano=row[12],
                paid_holds_nano=row[13],
            )

        for hold in holds:
            if hold.account not in books.customers:
                raise MovedError
            books.holds[hold.id] = hold
            wanted.spenders.setdefault(hold.spender, (hold.account, "key"))

    async def _load_platform(self, books: Books, names: set[str]) -> None:
        if not names:
            return
        rows = await self._driver.fetch(_LOCK_PLATFORM, list(names))
        if len(rows) < len(names):
            await self._driver.execute(_INSERT_PLATFORM, sorted(names))
            rows = await self._driver.fetch(_LOCK_PLATFORM, list(names))
        self._take_accounts(books, rows)

    async def _insert_customers(self, missing: list[str]) -> None:
        await self._driver.execute(_INSERT_CUSTOMERS, missing)
        await self._driver.execute(
            _INSERT_ACCOUNTS,
            [name for id_ in missing for name in (wallet_name(id_), held_name(id_))],
            ["wallet", "held"] * len(missing),
            [id_ for id_ in missing for _ in range(2)],
        )

    @staticmethod
    def _take_accounts(books: Books, rows: Sequence[asyncpg.Record]) -> None:
        for id_, name, debits, credits_, negative in rows:
            books.accounts[name] = Account(id_, name, debits, credits_, allow_negative=negative)

    async def _load_leases(self, books: Books, wanted: Wanted) -> None:
        if not wanted.leases:
            return
        for row in await self._driver.fetch(_READ_LEASES, list(wanted.leases)):
            lease = Lease(
                row[0],
                row[1],
                row[2],
                row[3],
                row[4],
                granted_nano=row[5],
                spent_nano=row[6],
                returned_nano=row[7],
                sequence=row[8],
                answer=row[9],
                state=row[10],
            )
            if lease.account not in books.customers:
                raise MovedError
            books.leases[lease.id] = lease
            wanted.spenders.setdefault(lease.spender, (lease.account, "key"))

    async def _load_spenders(self, books: Books, wanted: Wanted) -> None:
        if not wanted.spenders:
            return
        ids = list(wanted.spenders)
        rows = await self._driver.fetch(_READ_SPENDERS, ids)
        if len(rows) < len(ids):
            missing = sorted(wanted.spenders.keys() - {row[0] for row in rows})
            accounts = [wanted.spenders[id_][0] for id_ in missing]
            kinds = [wanted.spenders[id_][1] for id_ in missing]
            await self._driver.execute(_INSERT_SPENDERS, missing, accounts, kinds)
            rows = await self._driver.fetch(_READ_SPENDERS, ids)
        for id_, account, kind, *terms in rows:
            if account not in books.customers:
                raise MovedError
            books.spenders[id_] = Spender(id_, account, kind, **dict(zip(_SPENDER_TERMS, terms, strict=True)))


def _transfer_row(books: Books, row: Transfer) -> tuple[object, ...]:
    return (
        row.id,
        row.kind,
        row.debit,
        row.credit,
        row.amount_nano,
        row.debit_after,
        row.credit_after,
        row.reference,
        row.customer,
        books.now,
    )


def _lease_row(lease: Lease, now: datetime) -> tuple[object, ...]:
    return (
        lease.id,
        lease.replica,
        lease.account,
        lease.spender,
        lease.granted_nano,
        lease.spent_nano,
        lease.returned_nano,
        lease.sequence,
        lease.answer,
        lease.state,
        now,
        lease.expires_at,
    )
