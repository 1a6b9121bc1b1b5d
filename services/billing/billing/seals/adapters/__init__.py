"""PostgreSQL behind the ports of `domain/ports.py`."""
