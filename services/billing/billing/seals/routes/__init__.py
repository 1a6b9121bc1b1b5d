"""HTTP in: /api/billing/{seals,closes,reconciliations,partitions}, for admins."""
