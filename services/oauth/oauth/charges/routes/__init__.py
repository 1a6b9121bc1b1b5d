"""HTTP in: charges and the money of apps."""
