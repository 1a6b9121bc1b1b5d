"""Every test of the repository may ask for real PostgreSQL and NATS."""

pytest_plugins = ["common.testing.plugin"]
