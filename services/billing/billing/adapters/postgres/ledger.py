"""The ledger in PostgreSQL: a batch of operations is read and written by a dozen array statements.

Lock order, the same in every transaction: leases, spenders, customers, accounts, each by id. A row that must
exist is inserted before it is locked, since a row that is not there locks nothing. A customer's row guards
the customer's two ledger accounts.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.adapters.postgres.copy import copy_rows, is_transient_copy
from billing.adapters.postgres.usage import insert_charges
from billing.domain.accounts import Account, Customer, held_name, wallet_name
from billing.domain.books import Books, Operation, PostedOperation, Wanted
from billing.domain.leases import Lease
from billing.domain.spenders import Spender
from common.contracts.principals import SpenderKind
from common.kit import outbox
from common.kit.db import Database

USAGE_INBOX = "billing-usage"
_UNIQUE_VIOLATION = "23505"  # another replica wrote the same id first: the next try finds it

_LOCK_LEASES = text(
    "SELECT id::text, replica, account::text, spender::text, expires_at, granted_nano, spent_nano,"
    " returned_nano, sequence, last_answer, state FROM leases"
    " WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY leases.id FOR NO KEY UPDATE"
)
_LOCK_SPENDERS = text(
    "SELECT id::text, account::text, kind, budget_nano, period, window_start, used_nano, held_nano"
    " FROM spenders WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY spenders.id FOR NO KEY UPDATE"
)
_INSERT_SPENDERS = text(
    "INSERT INTO spenders (id, account, kind) SELECT * FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:accounts AS uuid[]), CAST(:kinds AS text[])) ON CONFLICT DO NOTHING"
)
_LOCK_CUSTOMERS = text(
    "SELECT account::text, usage_sequence, billing_sequence, low, recalled_at, free_nano,"
    " debt_nano FROM customers"
    " WHERE account = ANY(CAST(:ids AS uuid[])) ORDER BY customers.account FOR NO KEY UPDATE"
)
_INSERT_CUSTOMERS = text(
    "INSERT INTO customers (account) SELECT unnest(CAST(:ids AS uuid[])) ON CONFLICT DO NOTHING"
)
_LOCK_ACCOUNTS = text(
    "SELECT id, name, debits, credits, allow_negative FROM accounts"
    " WHERE name = ANY(CAST(:names AS text[])) ORDER BY accounts.id FOR NO KEY UPDATE"
)
_INSERT_ACCOUNTS = text(
    "INSERT INTO accounts (name, kind, customer)"
    " SELECT * FROM unnest(CAST(:names AS text[]), CAST(:kinds AS text[]), CAST(:customers AS uuid[]))"
    " ON CONFLICT DO NOTHING"
)
_READ_OPERATIONS = text(
    "SELECT id::text, fingerprint, result FROM operations WHERE id = ANY(CAST(:ids AS uuid[]))"
)

_TRANSFER_COLUMNS = (
    "id", "kind", "debit_account", "credit_account", "amount", "debit_after", "credit_after", "reference",
    "customer", "posted_at",
)  # fmt: skip
_OUTBOX_COLUMNS = ("id", "subject", "sequence", "payload")
_LEASE_COLUMNS = (
    "id", "replica", "account", "spender", "granted_nano", "spent_nano", "returned_nano", "sequence",
    "last_answer", "state", "opened_at", "expires_at",
)  # fmt: skip
# One statement, since every round trip to the server is time in which the whole batch waits.
_UPDATE_ROWS = text("""
    WITH new_accounts AS (
        UPDATE accounts AS a SET debits = u.debits, credits = u.credits
        FROM unnest(CAST(:account_ids AS bigint[]), CAST(:debits AS bigint[]), CAST(:credits AS bigint[]))
            AS u (id, debits, credits)
        WHERE a.id = u.id
    ), new_customers AS (
        UPDATE customers AS c SET usage_sequence = u.usage_sequence, billing_sequence = u.billing_sequence,
            low = u.low, recalled_at = u.recalled_at, free_nano = u.free_nano, debt_nano = u.debt_nano
        FROM unnest(CAST(:customer_ids AS uuid[]), CAST(:usage_sequences AS bigint[]),
            CAST(:billing_sequences AS bigint[]), CAST(:low AS boolean[]),
            CAST(:recalled_at AS timestamptz[]), CAST(:free AS bigint[]), CAST(:debts AS bigint[]))
            AS u (account, usage_sequence, billing_sequence, low, recalled_at, free_nano, debt_nano)
        WHERE c.account = u.account
    ), new_spenders AS (
        UPDATE spenders AS s SET kind = u.kind, budget_nano = u.budget_nano, period = u.period,
            window_start = u.window_start, used_nano = u.used_nano, held_nano = u.held_nano
        FROM unnest(CAST(:spender_ids AS uuid[]), CAST(:kinds AS text[]), CAST(:budgets AS bigint[]),
            CAST(:periods AS text[]), CAST(:windows AS timestamptz[]), CAST(:used AS bigint[]),
            CAST(:held AS bigint[]))
            AS u (id, kind, budget_nano, period, window_start, used_nano, held_nano)
        WHERE s.id = u.id
    )
    UPDATE leases AS l SET granted_nano = u.granted_nano, spent_nano = u.spent_nano,
        returned_nano = u.returned_nano, sequence = u.sequence, last_answer = u.last_answer, state = u.state,
        expires_at = u.expires_at
    FROM unnest(CAST(:lease_ids AS uuid[]), CAST(:granted AS bigint[]), CAST(:spent AS bigint[]),
        CAST(:returned AS bigint[]), CAST(:sequences AS bigint[]), CAST(:answers AS bytea[]),
        CAST(:states AS text[]), CAST(:expires_at AS timestamptz[]))
        AS u (id, granted_nano, spent_nano, returned_nano, sequence, last_answer, state, expires_at)
    WHERE l.id = u.id
""")
_INSERT_OPERATIONS = text(
    "INSERT INTO operations (id, fingerprint, result) SELECT * FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:fingerprints AS bytea[]), CAST(:results AS bytea[]))"
)


class PostgresLedger:
    """The ledger's transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresLedgerSession"]:
        """See domain.ports.Ledger."""
        async with self._database.transaction() as connection:
            yield PostgresLedgerSession(connection)

    def is_transient(self, error: BaseException) -> bool:
        """Server gone or starting, a deadlock, or another replica that wrote the same id first."""
        original = error.orig if isinstance(error, DBAPIError) else error
        if getattr(original, "sqlstate", None) == _UNIQUE_VIOLATION:
            return True
        return is_transient_copy(error)


class PostgresLedgerSession:
    """See domain.ports.LedgerSession."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def load(self, operations: Sequence[Operation], now: datetime) -> Books:
        """See the module: locks first, facts after, so that what another replica committed is seen."""
        wanted = Wanted()
        for operation in operations:
            operation.want(wanted)
        books = Books(now)
        await self._load_leases(books, wanted)
        await self._load_spenders(books, wanted)
        rows = await self._lock_customers(wanted.customers)
        await self._load_accounts(books, wanted)
        for row in rows:
            wallet, held = books.accounts[wallet_name(row[0])], books.accounts[held_name(row[0])]
            customer = Customer(
                row[0],
                wallet,
                held,
                row[1],
                row[2],
                low=row[3],
                recalled_at=row[4],
                free_nano=row[5],
                debt_nano=row[6],
            )
            books.customers[customer.id] = customer
        if wanted.usage:
            books.fresh_usage = await outbox.claim(self._connection, USAGE_INBOX, wanted.usage)
        if wanted.operations:
            posted = await self._connection.execute(_READ_OPERATIONS, {"ids": list(wanted.operations)})
            books.operations = {row[0]: PostedOperation(row[0], row[1], row[2]) for row in posted}
        return books

    async def save(self, books: Books) -> None:
        """Everything that changed, in a handful of statements."""
        await self._insert_transfers(books)
        await self._update_rows(books)
        new = [_new_lease(lease, books.now) for lease in books.leases.values() if lease.is_new]
        if new:
            await copy_rows(self._connection, "leases", _LEASE_COLUMNS, new)
        await insert_charges(self._connection, books.charges, books.now)
        if books.new_operations:
            rows = books.new_operations
            await self._connection.execute(
                _INSERT_OPERATIONS,
                {
                    "ids": [row.id for row in rows],
                    "fingerprints": [row.fingerprint for row in rows],
                    "results": [row.result for row in rows],
                },
            )
        if books.events:
            events = [(event.id, event.subject, event.sequence, event.payload) for event in books.events]
            await copy_rows(self._connection, "outbox", _OUTBOX_COLUMNS, events)

    async def _load_leases(self, books: Books, wanted: Wanted) -> None:
        if not wanted.leases:
            return
        rows = await self._connection.execute(_LOCK_LEASES, {"ids": list(wanted.leases)})
        for row in rows.all():
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
            books.leases[lease.id] = lease
            wanted.customers.add(lease.account)
            wanted.spenders.setdefault(lease.spender, (lease.account, "key"))

    async def _load_spenders(self, books: Books, wanted: Wanted) -> None:
        if not wanted.spenders:
            return
        ids = {"ids": list(wanted.spenders)}
        rows = (await self._connection.execute(_LOCK_SPENDERS, ids)).all()
        if len(rows) < len(wanted.spenders):
            await self._insert_spenders(wanted.spenders, {row[0] for row in rows})
            rows = (await self._connection.execute(_LOCK_SPENDERS, ids)).all()
        for id_, account, kind, budget, period, start, used, held in rows:
            books.spenders[id_] = Spender(
                id_,
                account,
                kind,
                budget_nano=budget,
                period=period,
                window_start=start,
                used_nano=used,
                held_nano=held,
            )

    async def _insert_spenders(self, spenders: dict[str, tuple[str, SpenderKind]], known: set[str]) -> None:
        missing = sorted(spenders.keys() - known)
        await self._connection.execute(
            _INSERT_SPENDERS,
            {
                "ids": missing,
                "accounts": [spenders[id_][0] for id_ in missing],
                "kinds": [spenders[id_][1] for id_ in missing],
            },
        )

    async def _lock_customers(self, customers: set[str]) -> Sequence[Any]:
        if not customers:
            return []
        ids = {"ids": list(customers)}
        rows = (await self._connection.execute(_LOCK_CUSTOMERS, ids)).all()
        if len(rows) < len(customers):
            missing = sorted(customers - {row[0] for row in rows})
            await self._connection.execute(_INSERT_CUSTOMERS, {"ids": missing})
            await self._connection.execute(
                _INSERT_ACCOUNTS,
                {
                    "names": [name for id_ in missing for name in (wallet_name(id_), held_name(id_))],
                    "kinds": ["wallet", "held"] * len(missing),
                    "customers": [id_ for id_ in missing for _ in range(2)],
                },
            )
            rows = (await self._connection.execute(_LOCK_CUSTOMERS, ids)).all()
        return rows

    async def _load_accounts(self, books: Books, wanted: Wanted) -> None:
        names = [wallet_name(id_) for id_ in wanted.customers]
        names += [held_name(id_) for id_ in wanted.customers]
        names += wanted.platform
        if not names:
            return
        rows = await self._connection.execute(_LOCK_ACCOUNTS, {"names": names})
        for id_, name, debits, credits_, negative in rows.all():
            books.accounts[name] = Account(id_, name, debits, credits_, allow_negative=negative)

    async def _insert_transfers(self, books: Books) -> None:
        if not books.transfers:
            return
        now = books.now
        rows = [
            (
                row.id,
                row.kind,
                row.debit,
                row.credit,
                row.amount_nano,
                row.debit_after,
                row.credit_after,
                row.reference,
                row.customer,
                now,
            )
            for row in books.transfers
        ]
        await copy_rows(self._connection, "transfers", _TRANSFER_COLUMNS, rows)

    async def _update_rows(self, books: Books) -> None:
        accounts = [row for row in books.accounts.values() if row.changed]
        customers = [row for row in books.customers.values() if row.changed]
        spenders = [row for row in books.spenders.values() if row.changed]
        leases = [row for row in books.leases.values() if row.changed and not row.is_new]
        if accounts or customers or spenders or leases:
            await self._connection.execute(
                _UPDATE_ROWS,
                {
                    "account_ids": [row.id for row in accounts],
                    "debits": [row.debits for row in accounts],
                    "credits": [row.credits for row in accounts],
                    "customer_ids": [row.id for row in customers],
                    "usage_sequences": [row.usage_sequence for row in customers],
                    "billing_sequences": [row.billing_sequence for row in customers],
                    "low": [row.low for row in customers],
                    "recalled_at": [row.recalled_at for row in customers],
                    "free": [row.free_nano for row in customers],
                    "debts": [row.debt_nano for row in customers],
                    "spender_ids": [row.id for row in spenders],
                    "kinds": [row.kind for row in spenders],
                    "budgets": [row.budget_nano for row in spenders],
                    "periods": [row.period for row in spenders],
                    "windows": [row.window_start for row in spenders],
                    "used": [row.used_nano for row in spenders],
                    "held": [row.held_nano for row in spenders],
                    "lease_ids": [row.id for row in leases],
                    "granted": [row.granted_nano for row in leases],
                    "spent": [row.spent_nano for row in leases],
                    "returned": [row.returned_nano for row in leases],
                    "sequences": [row.sequence for row in leases],
                    "answers": [row.answer for row in leases],
                    "states": [row.state for row in leases],
                    "expires_at": [row.expires_at for row in leases],
                },
            )


def _new_lease(lease: Lease, now: datetime) -> tuple[object, ...]:
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
