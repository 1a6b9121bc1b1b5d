"""PostgreSQL and the PDF writer behind the ports of `domain/ports.py`."""
