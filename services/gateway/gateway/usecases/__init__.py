"""What the gateway does, one verb each: authenticate, manage people and keys, apply the bootstrap file."""
