"""HTTP of the aliases."""
