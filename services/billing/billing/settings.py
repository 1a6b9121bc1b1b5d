"""Settings of billing."""

from common.kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """`TOLLWAY_LEASE_TTL_S` and so on, beside what every service reads."""

    lease_ttl_s: float = 30
    """A replica may spend from a lease this long without renewing it; billing expires it after twice that."""
    lease_grace_s: float = 600
    """A lease is expired at the latest this long after its time, though its usage may still be under way."""
    sweep_interval_s: float = 1
    """How often expired leases are looked for."""
    seed_prices: bool = True
    """Fill the price book from the packaged list price data when that changed."""
    pool_size: int = 8
    """Connections to PostgreSQL."""
