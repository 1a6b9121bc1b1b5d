"""Pure rules of signing keys and ID tokens."""
