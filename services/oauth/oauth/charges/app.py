"""The composition root of charges."""

from datetime import datetime

from common.contracts.oauth import ChargeEvent
from oauth.charges.adapters.postgres.charges import PostgresCharges
from oauth.charges.adapters.postgres.refunds import PostgresRefunds
from oauth.charges.adapters.postgres.stories import Stories
from oauth.charges.domain.charges import Charge
from oauth.charges.domain.events import notice
from oauth.charges.domain.refunds import Refund
from oauth.charges.routes.charges import ChargeController
from oauth.charges.usecases.charges import Charges
from oauth.charges.usecases.refunds import Refunds
from oauth.parts import Feature, Parts

SWEEP_S = 2.0


async def open_charges(parts: Parts) -> None:
    """Make the parts; the sweeps finish what a crash left."""

    def told(event: ChargeEvent, charge: Charge, now: datetime, refund: Refund | None) -> bytes:
        return notice(event, charges.show(charge), now, refund)

    database, clock = parts.database, parts.clock
    stories = Stories(clock, told)
    store = PostgresCharges(database, stories, parts.notify)
    charges = Charges(store, parts.store, parts.rpc, clock, parts.digester)
    refunds = Refunds(PostgresRefunds(database, stories, parts.notify), parts.rpc, clock)
    parts.state.charges = charges
    parts.state.refunds = refunds
    parts.every(SWEEP_S, charges.sweep)
    parts.every(SWEEP_S, refunds.sweep)


CHARGES = Feature(controllers=(ChargeController,), names=("charges", "refunds"), open=open_charges)
