"""Real PostgreSQL and NATS from wheels, for the tests of every service and for the suite on one machine."""
