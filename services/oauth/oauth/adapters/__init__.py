"""PostgreSQL, NATS and JOSE behind the ports."""
