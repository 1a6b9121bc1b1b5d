"""What an operator can set."""

from common.kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """Environment of one relay replica; field `secret_key` is the variable `TOLLWAY_SECRET_KEY`."""

    secret_key: str
    """At least 16 bytes; encrypts upstream keys at rest. The same on every replica."""
    max_body_mib: int = 16
    """Largest request body."""
    upstream_attempts: int = 3
    """Channels tried for one request before it fails."""
    upstream_connect_timeout_s: float = 5.0
    """TCP and TLS to the upstream."""
    upstream_first_byte_timeout_s: float = 300.0
    """From the request's last byte to the upstream's status line."""
    upstream_read_timeout_s: float = 300.0
    """Longest silence inside an answer."""
    lease_idle_s: float = 1.0
    """A lease that nothing used for so long goes back to the wallet."""
    usage_buffer: int = 20_000
    """Usage records kept while NATS is away; when it is full, new requests get 503."""
    channels_reload_s: float = 30.0
    """How often the channel table is read again, should a notice have been missed."""
    drain_s: float = 10.0
    """On shutdown: how long to wait for usage to be stored and leases to be returned."""
