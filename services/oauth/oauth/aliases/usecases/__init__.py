"""What the aliases do, one function per verb."""
