"""The composition root of devices."""

from oauth.parts import Feature, Parts


async def open_devices(parts: Parts) -> None:
    """Make the parts."""


DEVICES = Feature(controllers=(), names=(), open=open_devices)
