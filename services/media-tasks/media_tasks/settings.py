"""Settings of the media tasks service."""

from common.kit.settings import ServiceSettings


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """What every service reads; nothing of its own yet."""
