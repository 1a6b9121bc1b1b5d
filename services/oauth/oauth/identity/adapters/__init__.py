"""RSA, and the table of keys."""
