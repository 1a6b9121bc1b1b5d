"""The composition root of statements."""

from billing.parts import Feature, Parts


async def open_statements(_parts: Parts) -> None:
    """Make and start the parts."""


STATEMENTS = Feature(controllers=(), names=(), open=open_statements)
