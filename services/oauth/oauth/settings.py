"""Settings of the OAuth service."""

from common.kit.settings import ServiceSettings, SettingsError

MIN_SECRET_BYTES = 16


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What every service reads, and its own. Raises SettingsError on a weak secret or a wrong issuer."""

    issuer: str
    """Where browsers and apps reach the gateway, without a slash at the end: the `iss` of RFC 8414."""
    token_pepper: str
    """Secret of the keyed hash that tokens and secrets are stored under, at least 16 bytes; changing it ends
    every token, code and client secret.
    """
    secret_key: str
    """At least 16 bytes: signing keys and webhook secrets are encrypted with it at rest."""
    allow_private: bool = False
    """Let apps have http://127.0.0.1 and other loopback addresses for webhooks: for development and tests."""
    management_tokens: bool = False
    """Let apps ask for the scope `management_token`, which hands them a key to the person's account."""
    legacy_apps: str = ""
    """Client ids, separated by commas, of apps with a secret that may sign people in without PKCE, by the
    paths of OhMyGPT alone; every other app must send a code_challenge.
    """

    def __post_init__(self) -> None:
        for name in ("token_pepper", "secret_key"):
            if len(getattr(self, name).encode()) < MIN_SECRET_BYTES:
                raise SettingsError(f"TOLLWAY_{name.upper()} must be at least {MIN_SECRET_BYTES} bytes")
        if not self.issuer.startswith(("https://", "http://")) or self.issuer.endswith("/"):
            raise SettingsError("TOLLWAY_ISSUER is an http(s) URL without a slash at the end")
