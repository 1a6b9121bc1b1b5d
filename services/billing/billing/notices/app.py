"""The composition root of notices."""

from billing.parts import Feature, Parts


async def open_notices(_parts: Parts) -> None:
    """Make and start the parts."""


NOTICES = Feature(controllers=(), names=(), open=open_notices)
