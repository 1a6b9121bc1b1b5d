"""Random histories of the ledger against a reference of a few dictionaries."""
