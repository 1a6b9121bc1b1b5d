"""What seals does, one function per verb."""
