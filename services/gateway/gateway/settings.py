"""Settings of the gateway, read from `TOLLWAY_*` environment variables."""

from common.kit.settings import ServiceSettings, SettingsError
from gateway.domain.addresses import parse_networks

MIN_SECRET_BYTES = 16


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What every service reads, and the gateway's own. Raises SettingsError on a weak secret."""

    key_pepper: str
    """Secret of the keyed hash API keys are stored under, at least 16 bytes; changing it ends every key."""
    admin_key: str = ""
    """The operator's key: scopes relay, account and admin, nil UUIDs. Empty: there is none."""
    chat_relay_url: str = ""
    """Base URL of chat-relay; a service without URL is answered 503."""
    billing_url: str = ""
    """Base URL of billing."""
    media_tasks_url: str = ""
    """Base URL of media-tasks."""
    oauth_url: str = ""
    """Base URL of oauth."""
    service_connections: int = 4096
    """Most requests to the services at a time, over all of them; more wait up to 2 s, then 503."""
    public_url: str = ""
    """Where browsers and apps reach the gateway; with `https://` cookies are bound to that host and to TLS.
    DPoP proofs are made for URLs that begin so; without it access tokens that need one are refused.
    """
    public_rpm: int = 3000
    """Most requests a minute and address on each public route that anybody may use (sign-in, authorization,
    token, pushed and device requests), counted per replica; 0: no bound.
    """
    trusted_proxies: str = ""
    """Addresses or CIDR blocks, comma-separated, whose X-Forwarded-For is believed."""
    generated_keys_file: str = ""
    """File (mode 0600) for keys the bootstrap generates; empty: a key without a secret is an error."""

    def __post_init__(self) -> None:
        if len(self.key_pepper.encode()) < MIN_SECRET_BYTES:
            raise SettingsError("TOLLWAY_KEY_PEPPER must be at least 16 bytes")
        if self.admin_key and len(self.admin_key.encode()) < MIN_SECRET_BYTES:
            raise SettingsError("TOLLWAY_ADMIN_KEY must be at least 16 bytes")
        try:
            parse_networks(self.trusted_proxies.split(","))
        except ValueError as error:
            raise SettingsError(f"TOLLWAY_TRUSTED_PROXIES: {error}") from None
