"""The composition root of seals."""

from prometheus_client import Gauge

from billing.adapters.nats import NatsUsageBacklog
from billing.consumers.usage import DURABLE
from billing.domain.audits import AuditCheck, Period
from billing.parts import Feature, Parts
from billing.seals.adapters.postgres.closes import PostgresCloses
from billing.seals.adapters.postgres.partitions import PostgresPartitions
from billing.seals.adapters.postgres.reconciliations import PostgresBilledUsage
from billing.seals.adapters.postgres.seals import PostgresSeals
from billing.seals.routes.closes import CloseController
from billing.seals.routes.partitions import PartitionController
from billing.seals.routes.reconciliations import ReconciliationController
from billing.seals.routes.seals import SealController
from billing.seals.usecases.closes import Closer
from billing.seals.usecases.partitions import Partitions
from billing.seals.usecases.seals import Sealer, verify_chain
from common.contracts.streams import INTAKE

MONTHS_AHEAD = 3
KEEP_S = 3600.0
STRAY_ROWS = Gauge("tollway_billing_stray_rows", "Rows in default partitions; anything but 0 is a fault.")


async def open_seals(parts: Parts) -> None:
    """Make and start the parts; tables of the months to come are there before anything is posted."""
    settings, state = parts.settings, parts.state
    seals, closes = PostgresSeals(parts.database), PostgresCloses(parts.database)
    partitions = PostgresPartitions(parts.database)
    sealer = Sealer(seals, parts.clock)
    keeper = Partitions(partitions, closes, parts.clock, MONTHS_AHEAD, settings.retention_months)
    state.seals = seals
    state.closer = Closer(
        closes,
        Sealer(seals, parts.clock),
        state.auditor,
        NatsUsageBacklog(parts.bus, INTAKE, DURABLE),
        parts.clock,
    )
    state.partitions = partitions
    state.billed_usage = PostgresBilledUsage(parts.database)

    async def check(period: Period | None) -> AuditCheck:
        return (await verify_chain(seals, period)).check()

    async def keep() -> None:
        await keeper.keep()
        STRAY_ROWS.set(keeper.stray_rows)

    async def seal() -> None:
        await sealer.seal_posted()

    state.auditor.add(check)
    await partitions.create(MONTHS_AHEAD, parts.clock())
    parts.every(KEEP_S, keep)
    parts.every(settings.seal_interval_s, seal)


SEALS = Feature(
    controllers=(SealController, CloseController, PartitionController, ReconciliationController),
    names=("seals", "closer", "partitions", "billed_usage"),
    open=open_seals,
)
