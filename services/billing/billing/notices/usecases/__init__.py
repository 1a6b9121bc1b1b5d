"""What notices does, one function per verb."""
