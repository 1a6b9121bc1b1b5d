"""NATS in: identity events that invalidate cached keys, and the user lookup RPC."""
