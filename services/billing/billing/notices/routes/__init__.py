"""HTTP of notices."""
