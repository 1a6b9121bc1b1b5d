"""PostgreSQL, NATS and the packaged price list behind the ports of `domain/ports.py`."""
