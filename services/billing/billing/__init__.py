"""Billing keeps the books: wallets, leases, charges and prices, in one double-entry ledger in PostgreSQL.

Everything that moves money goes through one group-commit writer: many operations, one transaction, each
decided exactly and in order by the pure rules in `domain/`.
"""
