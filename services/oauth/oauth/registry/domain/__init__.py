"""Pure rules of what may be registered."""
