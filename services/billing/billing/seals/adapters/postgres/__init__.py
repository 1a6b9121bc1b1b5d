"""SQL, one module per noun."""
