"""HTTP in: payments, ratios, codes, and Stripe's webhook."""
