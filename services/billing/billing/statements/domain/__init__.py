"""What statements say: pure arithmetic on rows of the ledger."""
