"""What statements does, one function per verb."""
