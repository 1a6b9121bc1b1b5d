"""What apps do with charges, one function per verb."""
