"""HTTP in: what an account owner and the operator read."""
