"""Settings of the OAuth service."""

from common.kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What every service reads; nothing of its own yet."""
