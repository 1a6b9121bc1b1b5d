"""Pure rules: credentials, headers, addresses, limits, keys and people. No I/O."""
