"""Settings of billing."""

from common.kit.settings import ServiceSettings, SettingsError

_MIN_PEPPER = 16
_MIN_SECRET_BYTES = 16


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
    """Connections to PostgreSQL, beside the ledger's own."""
    invoice_seller: str = "Tollway"
    """Who sells, on invoices: the name, then lines of the address, tax id and so on, with `|` between."""
    invoice_series: str = "INV"
    """What invoice numbers begin with; each series counts from 1 without a gap."""
    invoice_font: str = ""
    """A TrueType file that all text of an invoice is set in and that is embedded; empty: standard fonts."""
    repeat_days: int = 90
    """How long a call about a hold gets its first answer again, and a hold that took nothing is shown."""
    seal_interval_s: float = 5
    """How often what was posted is appended to the hash chain."""
    retention_months: int = 0
    """Closed months older than this many are detached from the tables; 0 keeps all, 2 is the least."""
    stripe_api_key: str = ""
    """Secret key of the Stripe account; empty switches payments by Stripe off."""
    stripe_webhook_secrets: str = ""
    """`whsec_…[,whsec_…]`: secrets of the webhook endpoint; every one of them verifies, for a rotation."""
    stripe_api_base: str = ""
    """Another address of Stripe's API, such as a simulator's; empty is Stripe's own."""
    payment_return_url: str = ""
    """Where a payer's browser goes after a checkout that names no `success_url` of its own."""
    code_pepper: str = ""
    """Key under which redemption codes are stored, 16 characters or more; it must never change."""
    secret_key: str = ""
    """At least 16 bytes; webhook secrets are encrypted with it at rest, so it must never change. Empty: no
    webhooks.
    """
    webhooks_allow_private: bool = False
    """Let webhooks go to http://127.0.0.1 and other loopback addresses: for development and tests."""
    webhook_interval_s: float = 0.5
    """How often new events and due retries of webhooks are looked for."""
    events_days: int = 400
    """How long the log of events is kept for replay, in whole months."""

    def __post_init__(self) -> None:
        """SettingsError for combinations that would lose money or secrets."""
        if self.stripe_api_key and not any(self.webhook_secrets):
            raise SettingsError(
                "TOLLWAY_STRIPE_WEBHOOK_SECRETS is empty while TOLLWAY_STRIPE_API_KEY is set:"
                " payments would be taken and never credited"
            )
        if self.secret_key and len(self.secret_key.encode()) < _MIN_SECRET_BYTES:
            raise SettingsError(f"TOLLWAY_SECRET_KEY has fewer than {_MIN_SECRET_BYTES} bytes")
        if self.events_days < 1:
            raise SettingsError("TOLLWAY_EVENTS_DAYS is at least 1")
        if self.repeat_days < 1:
            raise SettingsError("TOLLWAY_REPEAT_DAYS is at least 1")
        if self.retention_months < 0 or self.retention_months == 1:
            raise SettingsError("TOLLWAY_RETENTION_MONTHS is 0 (keep all) or 2 and more")
        if self.code_pepper and len(self.code_pepper) < _MIN_PEPPER:
            raise SettingsError(f"TOLLWAY_CODE_PEPPER has fewer than {_MIN_PEPPER} characters")

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets one by one."""
        return tuple(filter(None, (part.strip() for part in self.stripe_webhook_secrets.split(","))))
