"""The composition root of registry."""

from oauth.parts import Feature, Parts


async def open_registry(parts: Parts) -> None:
    """Make the parts."""


REGISTRY = Feature(controllers=(), names=(), open=open_registry)
