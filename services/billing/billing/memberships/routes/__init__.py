"""/api/billing/plans and /api/billing/membership."""
