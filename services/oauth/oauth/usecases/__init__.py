"""One function or method per verb; each opens its transaction."""
