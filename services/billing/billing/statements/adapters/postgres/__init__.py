"""SQL that reads the ledger, and the tables of roll-ups and invoices."""
