"""NATS in: lease calls and usage."""
