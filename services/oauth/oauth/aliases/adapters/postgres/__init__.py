"""SQL of the aliases."""
