"""The rules of money: pure, integer, in order; no I/O and no clock."""
