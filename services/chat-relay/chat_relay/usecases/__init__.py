"""What the relay does, step by step: one module per noun."""
