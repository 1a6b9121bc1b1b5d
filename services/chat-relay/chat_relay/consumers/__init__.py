"""NATS in: channel notices, lease recalls, the price book."""
