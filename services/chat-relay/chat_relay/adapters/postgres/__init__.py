"""SQL of the relay's own database."""
