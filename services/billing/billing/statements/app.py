"""The composition root of statements."""

from billing.parts import Feature, Parts
from billing.statements.adapters.postgres.rollups import PostgresRollups
from billing.statements.routes.margins import MarginController
from billing.statements.routes.rollups import RollupController
from billing.statements.usecases.rollups import roll_up

ROLL_UP_S = 10.0
"""How much of the log is summed at every question, at most, instead of once."""


async def open_statements(parts: Parts) -> None:
    """Make and start the parts."""
    rollups = PostgresRollups(parts.database)
    state = parts.state
    state.rollups = rollups
    state.clock = parts.clock
    parts.every(ROLL_UP_S, lambda: roll_up(rollups))


STATEMENTS = Feature(
    controllers=(RollupController, MarginController),
    names=("rollups", "clock"),
    open=open_statements,
)
