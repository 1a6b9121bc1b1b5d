"""What the device flow does, one function per verb."""
