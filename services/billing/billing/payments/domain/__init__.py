"""The rules of payments, refunds, ratios and codes: pure, integer, no I/O and no clock."""
