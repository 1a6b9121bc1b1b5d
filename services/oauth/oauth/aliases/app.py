"""The composition root of aliases."""

from oauth.parts import Feature, Parts


async def open_aliases(parts: Parts) -> None:
    """Make the parts."""


ALIASES = Feature(controllers=(), names=(), open=open_aliases)
