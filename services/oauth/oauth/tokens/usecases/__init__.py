"""What the back channel does, one verb at a time."""
