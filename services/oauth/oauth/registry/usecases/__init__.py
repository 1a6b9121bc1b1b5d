"""What people and the operator do with apps and grants."""
