"""The composition root of authorization."""

from oauth.parts import Feature, Parts


async def open_authorization(parts: Parts) -> None:
    """Make the parts."""


AUTHORIZATION = Feature(controllers=(), names=(), open=open_authorization)
