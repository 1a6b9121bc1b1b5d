"""The composition root of charges."""

from oauth.parts import Feature, Parts


async def open_charges(parts: Parts) -> None:
    """Make the parts."""


CHARGES = Feature(controllers=(), names=(), open=open_charges)
