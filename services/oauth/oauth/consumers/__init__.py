"""NATS in: the token check of the gateway, and what changes about people."""
