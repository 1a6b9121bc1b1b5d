"""The composition root of seals."""

from billing.parts import Feature, Parts


async def open_seals(_parts: Parts) -> None:
    """Make and start the parts."""


SEALS = Feature(controllers=(), names=(), open=open_seals)
