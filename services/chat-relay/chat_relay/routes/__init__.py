"""HTTP in: parse, call one use-case, shape the answer."""
