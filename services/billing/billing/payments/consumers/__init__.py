"""NATS in: orders of other services."""
