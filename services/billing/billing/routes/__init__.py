"""HTTP in: the management API under /api/billing."""
