"""The composition root of payments."""

from billing.parts import Feature, Parts


async def open_payments(_parts: Parts) -> None:
    """Make and start the parts."""


PAYMENTS = Feature(controllers=(), names=(), open=open_payments)
