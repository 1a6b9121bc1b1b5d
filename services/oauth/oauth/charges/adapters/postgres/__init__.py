"""The tables of charges."""
