"""Plans by top-up with expiry, and the free allowance that is spent before paid money."""
