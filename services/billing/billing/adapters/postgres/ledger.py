"""The ledger in PostgreSQL: a batch of operations is read and written by a dozen array statements.

One lock guards everything of a customer: the row in `customers`, taken by id. Leases, holds, spenders and the
two accounts belong to one customer for ever, and are read after it is locked, so that what another replica
committed is seen; what only this process wrote it remembers (`memory`). Accounts of the platform are locked
after all customers (`platform`). A row that must exist is inserted before it is locked, since a row that is
not there locks nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from weakref import WeakSet

import asyncpg

from billing.adapters.postgres.changes import CHANGES
from billing.adapters.postgres.copy import NewRows, RowInsert
from billing.adapters.postgres.events import EVENT_INSERT, event_rows
from billing.adapters.postgres.holds import insert_holds, read_holds
from billing.adapters.postgres.inbox import USAGE_INBOX, claim
from billing.adapters.postgres.leases import LEASE_INSERT, lease_row, read_leases
from billing.adapters.postgres.memory import Known, Memory
from billing.adapters.postgres.platform import PlatformAccounts
from billing.adapters.postgres.refunds import insert_refunds, read_refunded
from billing.adapters.postgres.spenders import read_spenders
from billing.adapters.postgres.transfers import TRANSFER_INSERT, transfer_row
from billing.adapters.postgres.usage import insert_charges
from billing.domain.accounts import PROMO, Account, Customer, held_name, wallet_name
from billing.domain.allowances import Allowances, is_due
from billing.domain.books import Books, Operation, PostedOperation, Wanted
from common.kit import outbox
from common.kit.db import Database, is_transient

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
    SELECT account::text, customers.xmin, usage_sequence, billing_sequence, low, recalled_at, free_nano,
        debt_nano, plan, plan_until, allowance_until, alert_nano, alerted, holds_nano, paid_holds_nano
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
# By join: against a long array of names the planner prefers to look at every account there is.
_READ_ACCOUNTS = """
    SELECT a.name, a.id, a.debits, a.credits, a.allow_negative
    FROM unnest($1::text[]) AS wanted (name) JOIN accounts AS a ON a.name = wanted.name
"""
# The newest time there is a transfer of, or the end of the last month that takes no more. Whatever is later
# than `now` lies in the months from that of `now` on. And who is asking, as `xmin` will have it.
_READ_CLOCK = """
    SELECT greatest(
        (SELECT posted_at FROM transfers WHERE posted_at >= $1 ORDER BY position DESC LIMIT 1),
        (SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' FROM bars)), pg_current_xact_id()
"""
_READ_OPERATIONS = "SELECT id::text, fingerprint, result FROM operations WHERE id = ANY($1::uuid[])"
_INSERT_OPERATIONS = """
    INSERT INTO operations (id, fingerprint, result, temporary, created_at)
    SELECT *, $5::timestamptz FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::boolean[])
"""

_OUTBOX_INSERT = RowInsert("outbox", {"events": "text", "created_at": "timestamptz"})
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
        self.memory = Memory()
        self.platform = PlatformAccounts()
        self._connections: WeakSet[asyncpg.Connection] = WeakSet()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresLedgerSession"]:
        """See domain.ports.Ledger."""
        async with self._database.driver_transaction() as driver:
            if driver not in self._connections:
                self._connections.add(driver)
                self.memory.forget()
                self.platform.forget()
            session = PostgresLedgerSession(driver, self)
            yield session
        if session.is_saved:
            self.memory.keep(session.left, session.owners, session.closed)

    def is_transient(self, error: BaseException) -> bool:
        """Server gone or starting, a deadlock, or another replica that wrote the same id first."""
        if isinstance(error, MovedError) or getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION:
            return True
        return is_transient(error)


class PostgresLedgerSession:
    """See domain.ports.LedgerSession."""

    def __init__(self, driver: asyncpg.Connection, ledger: PostgresLedger) -> None:
        self._driver = driver
        self._ledger = ledger
        self._transaction_id = 0
        self._before: dict[int, tuple[object, ...]] = {}
        self._counters: list[Account] = []
        self._balances: dict[int, int] = {}
        self.left: dict[str, Known] = {}
        self.owners: dict[str, str] = {}
        self.closed: list[str] = []
        self.is_saved = False

    async def load(self, operations: Sequence[Operation], now: datetime) -> Books:
        """See the module: locks first, facts after."""
        wanted = Wanted()
        for operation in operations:
            operation.want(wanted)
        books = Books(now)
        books.allowances = self._ledger.allowances
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
        """Everything that changed, in a handful of statements; what waits for others' locks last."""
        driver, review = self._driver, self._ledger.review
        if books.reviews and review is not None:
            if any(account.changed for account in self._counters):
                await self._count(books)
            await CHANGES.append(driver, self._posted(books))
            await review(driver, books)
        _mark_customers(books)
        new: NewRows = {
            LEASE_INSERT: [lease_row(lease, books.now) for lease in books.leases.values() if lease.is_new]
        }
        counted = any(account.changed for account in self._counters)
        await CHANGES.execute(
            driver,
            self._before,
            (
                [row for row in books.accounts.values() if row.changed and row not in self._counters],
                [row for row in books.customers.values() if row.changed],
                [row for row in books.spenders.values() if row.changed],
                [row for row in books.leases.values() if row.changed and not row.is_new],
                [row for row in books.holds.values() if row.changed and not row.is_new],
            ),
            new if counted else {**new, **self._told(books)},
        )
        await insert_holds(driver, [hold for hold in books.holds.values() if hold.is_new])
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
        if counted:
            await self._count(books)
            await CHANGES.append(driver, self._told(books))
        await insert_refunds(driver, books.new_refunds, books.now)
        await insert_charges(driver, books.charges, books.now)
        self._leave(books)

    async def _count(self, books: Books) -> None:
        """Add to the platform's accounts; who posted later than that meanwhile did so before this."""
        added = [account for account in self._counters if account.changed]
        self._balances = await self._ledger.platform.add(self._driver, added)
        for account in added:
            account.changed = False
        books.move_on(await self._clock(books.now))

    def _posted(self, books: Books) -> NewRows:
        """The transfers, once."""
        rows = [transfer_row(books.now, transfer, self._balances) for transfer in books.transfers]
        books.transfers = []
        return {TRANSFER_INSERT: rows}

    def _told(self, books: Books) -> NewRows:
        """The transfers that are not written yet, and what is told of everything."""
        packets = [(packet, books.now) for packet in outbox.packets(books.events)]
        told: NewRows = {_OUTBOX_INSERT: packets, EVENT_INSERT: event_rows(books.events, books.now)}
        return {**self._posted(books), **told}

    async def _clock(self, now: datetime) -> datetime:
        """The ledger's clock never goes back: not behind what is posted, nor into a closed month."""
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        newest, self._transaction_id = await self._driver.fetchrow(_READ_CLOCK, month)
        return max(now, newest or now)

    def _leave(self, books: Books) -> None:
        """What the next transaction of these customers may find them to be."""
        left, self.is_saved = self.left, True
        written = self._transaction_id & 0xFFFF_FFFF
        for id_, customer in books.customers.items():
            known = left[id_]
            if customer.changed:
                known.version = written
            known.wallet.changed = known.held.changed = False
        for spender in books.spenders.values():
            spender.changed = False
            left[spender.account].spenders[spender.id] = spender
            self.owners[spender.id] = spender.account
        for lease in books.leases.values():
            lease.changed = lease.is_new = False
            if lease.state == "open":
                left[lease.account].leases[lease.id] = lease
                self.owners[lease.id] = lease.account
            else:
                left[lease.account].leases.pop(lease.id, None)
                self.closed.append(lease.id)

    async def _lock_customers(self, wanted: Wanted) -> Sequence[asyncpg.Record]:
        if not (wanted.customers or wanted.leases or wanted.spenders or wanted.holds):
            return []
        owners, unknown = self._ledger.memory.owners((*wanted.leases, *wanted.spenders))
        parts = (wanted.leases & unknown, wanted.spenders.keys() & unknown, wanted.holds)
        arrays = [list(ids) for ids in (wanted.customers | owners, *parts)]
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
        allowances = self._ledger.allowances
        if any(is_due(allowances, row[8], row[9], row[10], row[6], books.now) for row in rows):
            platform.add(PROMO)
        await self._load_platform(books, platform, wanted.counters)
        books.now = await self._clock(books.now)
        take = self._ledger.memory.take
        for row in rows:
            known = take(row[0], row[1])
            if known is not None:
                self.left[row[0]] = known
        await self._load_accounts(row for row in rows if row[0] not in self.left)
        for row in rows:
            known = self.left[row[0]]
            books.accounts[known.wallet.name] = known.wallet
            books.accounts[known.held.name] = known.held
            books.customers[row[0]] = _customer(row, known)
        for hold in holds:
            if hold.account not in books.customers:
                raise MovedError
            books.holds[hold.id] = hold
            wanted.spenders.setdefault(hold.spender, (hold.account, "key"))

    async def _load_platform(self, books: Books, platform: set[str], counters: set[str]) -> None:
        accounts: list[Account] = []
        if platform:
            accounts = await self._ledger.platform.lock(self._driver, platform | counters)
        elif counters:
            accounts = self._counters = await self._ledger.platform.name(self._driver, counters)
        books.accounts |= {account.name: account for account in accounts}

    async def _load_accounts(self, rows: Iterable[asyncpg.Record]) -> None:
        unknown = {row[0]: row[1] for row in rows}
        if not unknown:
            return
        names = [name for id_ in unknown for name in (wallet_name(id_), held_name(id_))]
        found = {row[0]: row for row in await self._driver.fetch(_READ_ACCOUNTS, names)}
        for id_, version in unknown.items():
            wallet, held = (
                Account(row[1], row[0], row[2], row[3], allow_negative=row[4])
                for row in (found[wallet_name(id_)], found[held_name(id_)])
            )
            self.left[id_] = Known(version, wallet, held)

    async def _insert_customers(self, missing: list[str]) -> None:
        await self._driver.execute(_INSERT_CUSTOMERS, missing)
        await self._driver.execute(
            _INSERT_ACCOUNTS,
            [name for id_ in missing for name in (wallet_name(id_), held_name(id_))],
            ["wallet", "held"] * len(missing),
            [id_ for id_ in missing for _ in range(2)],
        )

    async def _load_leases(self, books: Books, wanted: Wanted) -> None:
        find, found, unknown = self._ledger.memory.find, [], []
        for id_ in wanted.leases:
            known = find(id_, self.left)
            lease = None if known is None else known.leases.get(id_)
            if lease is None:
                unknown.append(id_)
            else:
                found.append(lease)
        found += await read_leases(self._driver, unknown)
        for lease in found:
            if lease.account not in books.customers:
                raise MovedError
            books.leases[lease.id] = lease
            wanted.spenders.setdefault(lease.spender, (lease.account, "key"))

    async def _load_spenders(self, books: Books, wanted: Wanted) -> None:
        find, unknown = self._ledger.memory.find, {}
        for id_, whose in wanted.spenders.items():
            known = find(id_, self.left)
            spender = None if known is None else known.spenders.get(id_)
            if spender is None:
                unknown[id_] = whose
            else:
                books.spenders[id_] = spender
        for spender in await read_spenders(self._driver, unknown):
            if spender.account not in books.customers:
                raise MovedError
            books.spenders[spender.id] = spender


def _customer(row: asyncpg.Record, known: Known) -> Customer:
    return Customer(
        row[0],
        known.wallet,
        known.held,
        row[2],
        row[3],
        low=row[4],
        recalled_at=row[5],
        free_nano=row[6],
        debt_nano=row[7],
        plan=row[8],
        plan_until=row[9],
        allowance_until=row[10],
        alert_nano=row[11],
        alerted=row[12],
        holds_nano=row[13],
        paid_holds_nano=row[14],
    )


def _mark_customers(books: Books) -> None:
    """Whose accounts, spenders or leases changed is written too: see `memory`."""
    for customer in books.customers.values():
        if customer.wallet.changed or customer.held.changed:
            customer.changed = True
    changed = [spender.account for spender in books.spenders.values() if spender.changed]
    changed += [lease.account for lease in books.leases.values() if lease.changed]
    for account in changed:
        books.customers[account].changed = True
