"""What charges ask of the outside."""
