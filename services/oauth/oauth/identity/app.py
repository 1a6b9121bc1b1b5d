"""The composition root of identity."""

from oauth.parts import Feature, Parts


async def open_identity(parts: Parts) -> None:
    """Make the parts."""


IDENTITY = Feature(controllers=(), names=(), open=open_identity)
