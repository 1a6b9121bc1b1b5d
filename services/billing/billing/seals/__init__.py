"""Proof over time: the hash chain over transfers, closed months, reconciliation, partitions."""
