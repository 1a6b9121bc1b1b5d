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

from billing.adapters.postgres.usage import insert_charges
from billing.domain.accounts import Account, Customer, held_name, wallet_name
from billing.domain.books import Books, Operation, PostedOperation, Wanted
from billing.domain.leases import Lease
from billing.domain.spenders import Spender
from common.contracts.principals import SpenderKind
from common.kit import outbox
from common.kit.db import Database, is_transient

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
    "SELECT account::text, usage_sequence, billing_sequence, low, recalled_at FROM customers"
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

_INSERT_TRANSFERS = text(
    "INSERT INTO transfers (id, kind, debit_account, credit_account, amount, debit_after, credit_after,"
    " reference, customer, posted_at)"
    " SELECT t.id, t.kind, t.debit, t.credit, t.amount, t.debit_after, t.credit_after, t.reference,"
    " t.customer, :now FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:debits AS bigint[]),"
    " CAST(:credits AS bigint[]), CAST(:amounts AS bigint[]), CAST(:debit_after AS bigint[]),"
    " CAST(:credit_after AS bigint[]), CAST(:refs AS uuid[]), CAST(:customers AS uuid[]))"
    " WITH ORDINALITY AS t (id, kind, debit, credit, amount, debit_after, credit_after, reference, customer,"
    " ordinal) ORDER BY t.ordinal"
)
_UPDATE_ACCOUNTS = text(
    "UPDATE accounts a SET debits = u.debits, credits = u.credits FROM unnest(CAST(:ids AS bigint[]),"
    " CAST(:debits AS bigint[]), CAST(:credits AS bigint[])) AS u (id, debits, credits) WHERE a.id = u.id"
)
_UPDATE_CUSTOMERS = text(
    "UPDATE customers c SET usage_sequence = u.usage_sequence, billing_sequence = u.billing_sequence,"
    " low = u.low, recalled_at = u.recalled_at FROM unnest(CAST(:ids AS uuid[]), CAST(:usage AS bigint[]),"
    " CAST(:billing AS bigint[]), CAST(:low AS boolean[]), CAST(:recalled_at AS timestamptz[]))"
    " AS u (account, usage_sequence, billing_sequence, low, recalled_at) WHERE c.account = u.account"
)
_UPDATE_SPENDERS = text(
    "UPDATE spenders s SET budget_nano = u.budget_nano, period = u.period, window_start = u.window_start,"
    " used_nano = u.used_nano, held_nano = u.held_nano FROM unnest(CAST(:ids AS uuid[]),"
    " CAST(:budgets AS bigint[]), CAST(:periods AS text[]), CAST(:windows AS timestamptz[]),"
    " CAST(:used AS bigint[]), CAST(:held AS bigint[]))"
    " AS u (id, budget_nano, period, window_start, used_nano, held_nano) WHERE s.id = u.id"
)
_LEASE_ARRAYS = (
    "unnest(CAST(:ids AS uuid[]), CAST(:replicas AS text[]), CAST(:accounts AS uuid[]),"
    " CAST(:spenders AS uuid[]), CAST(:granted AS bigint[]), CAST(:spent AS bigint[]),"
    " CAST(:returned AS bigint[]), CAST(:sequences AS bigint[]), CAST(:answers AS bytea[]),"
    " CAST(:states AS text[]), CAST(:expires_at AS timestamptz[]))"
    " AS u (id, replica, account, spender, granted_nano, spent_nano, returned_nano, sequence, last_answer,"
    " state, expires_at)"
)
_INSERT_LEASES = text(
    "INSERT INTO leases (id, replica, account, spender, granted_nano, spent_nano, returned_nano, sequence,"  # noqa: S608
    f" last_answer, state, expires_at, opened_at) SELECT u.*, :now FROM {_LEASE_ARRAYS}"
)
_UPDATE_LEASES = text(
    "UPDATE leases l SET granted_nano = u.granted_nano, spent_nano = u.spent_nano,"  # noqa: S608
    " returned_nano = u.returned_nano, sequence = u.sequence, last_answer = u.last_answer, state = u.state,"
    f" expires_at = u.expires_at FROM {_LEASE_ARRAYS} WHERE l.id = u.id"
)
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
        if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _UNIQUE_VIOLATION:
            return True
        return is_transient(error)


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
            customer = Customer(row[0], wallet, held, row[1], row[2], low=row[3], recalled_at=row[4])
            books.customers[customer.id] = customer
        if wanted.usage:
            books.fresh_usage = await outbox.claim(self._connection, USAGE_INBOX, wanted.usage)
        if wanted.operations:
            posted = await self._connection.execute(_READ_OPERATIONS, {"ids": list(wanted.operations)})
            books.operations = {row[0]: PostedOperation(row[0], row[1], row[2]) for row in posted}
        return books

    async def save(self, books: Books) -> None:
        """Everything that changed, each table by one statement."""
        await self._insert_transfers(books)
        await self._update_accounts(books)
        await self._update_customers(books)
        await self._update_spenders(books)
        await self._write_leases(books)
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
        await outbox.append(self._connection, books.events)

    async def _load_leases(self, books: Books, wanted: Wanted) -> None:
        if not wanted.leases:
            return
        rows = await self._connection.execute(_LOCK_LEASES, {"ids": list(wanted.leases)})
        for row in rows:
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
        for id_, name, debits, credits_, negative in await self._connection.execute(
            _LOCK_ACCOUNTS, {"names": names}
        ):
            books.accounts[name] = Account(id_, name, debits, credits_, allow_negative=negative)

    async def _insert_transfers(self, books: Books) -> None:
        rows = books.transfers
        if not rows:
            return
        await self._connection.execute(
            _INSERT_TRANSFERS,
            {
                "now": books.now,
                "ids": [row.id for row in rows],
                "kinds": [row.kind for row in rows],
                "debits": [row.debit for row in rows],
                "credits": [row.credit for row in rows],
                "amounts": [row.amount_nano for row in rows],
                "debit_after": [row.debit_after for row in rows],
                "credit_after": [row.credit_after for row in rows],
                "refs": [row.reference for row in rows],
                "customers": [row.customer for row in rows],
            },
        )

    async def _update_accounts(self, books: Books) -> None:
        rows = [account for account in books.accounts.values() if account.changed]
        if not rows:
            return
        await self._connection.execute(
            _UPDATE_ACCOUNTS,
            {
                "ids": [row.id for row in rows],
                "debits": [row.debits for row in rows],
                "credits": [row.credits for row in rows],
            },
        )

    async def _update_customers(self, books: Books) -> None:
        rows = [customer for customer in books.customers.values() if customer.changed]
        if not rows:
            return
        await self._connection.execute(
            _UPDATE_CUSTOMERS,
            {
                "ids": [row.id for row in rows],
                "usage": [row.usage_sequence for row in rows],
                "billing": [row.billing_sequence for row in rows],
                "low": [row.low for row in rows],
                "recalled_at": [row.recalled_at for row in rows],
            },
        )

    async def _update_spenders(self, books: Books) -> None:
        rows = [spender for spender in books.spenders.values() if spender.changed]
        if not rows:
            return
        await self._connection.execute(
            _UPDATE_SPENDERS,
            {
                "ids": [row.id for row in rows],
                "budgets": [row.budget_nano for row in rows],
                "periods": [row.period for row in rows],
                "windows": [row.window_start for row in rows],
                "used": [row.used_nano for row in rows],
                "held": [row.held_nano for row in rows],
            },
        )

    async def _write_leases(self, books: Books) -> None:
        changed = [lease for lease in books.leases.values() if lease.changed]
        new = [lease for lease in changed if lease.is_new]
        old = [lease for lease in changed if not lease.is_new]
        if new:
            await self._connection.execute(_INSERT_LEASES, {"now": books.now, **_lease_columns(new)})
        if old:
            await self._connection.execute(_UPDATE_LEASES, _lease_columns(old))


def _lease_columns(rows: list[Lease]) -> dict[str, object]:
    return {
        "ids": [row.id for row in rows],
        "replicas": [row.replica for row in rows],
        "accounts": [row.account for row in rows],
        "spenders": [row.spender for row in rows],
        "granted": [row.granted_nano for row in rows],
        "spent": [row.spent_nano for row in rows],
        "returned": [row.returned_nano for row in rows],
        "sequences": [row.sequence for row in rows],
        "answers": [row.answer for row in rows],
        "states": [row.state for row in rows],
        "expires_at": [row.expires_at for row in rows],
    }
