"""Charges: an app takes money from a person who allowed it, gives it back, and is told."""
