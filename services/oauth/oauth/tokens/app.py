"""The composition root of tokens."""

from oauth.parts import Feature, Parts


async def open_tokens(parts: Parts) -> None:
    """Make the parts."""


TOKENS = Feature(controllers=(), names=(), open=open_tokens)
