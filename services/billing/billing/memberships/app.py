"""The composition root of memberships."""

from billing.parts import Feature, Parts


async def open_memberships(_parts: Parts) -> None:
    """Make and start the parts."""


MEMBERSHIPS = Feature(controllers=(), names=(), open=open_memberships)
