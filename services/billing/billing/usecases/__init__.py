"""What billing does, one function per verb."""
