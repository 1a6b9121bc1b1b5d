"""Money in and back: Stripe, redemption codes, top-up refunds and chargebacks."""
