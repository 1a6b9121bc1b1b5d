"""The composition root of memberships."""

from billing.adapters.nats import NatsShelf
from billing.domain.allowances import Allowances
from billing.memberships.adapters.postgres.memberships import MembershipReview, PostgresMemberships
from billing.memberships.adapters.postgres.plans import PostgresPlans
from billing.memberships.domain.plans import FILE_SOURCE, read_plans
from billing.memberships.routes.memberships import MembershipController
from billing.memberships.routes.plans import PlanController
from billing.memberships.usecases.memberships import MembershipSweeper
from billing.memberships.usecases.plans import put_plans
from billing.parts import Feature, Parts
from common.contracts.bootstrap import Bootstrap
from common.contracts.plans import PLANS_BUCKET, PLANS_KEY, PlanBook


async def open_memberships(parts: Parts) -> None:
    """See every payment from now on; put the file's plans in force, then keep up with them and with time."""
    file_plans, ledger = parts.bootstrap.plans, parts.ledger
    ledger.review = MembershipReview().review
    store = PostgresPlans(parts.database)
    memberships = PostgresMemberships(parts.database)
    parts.state.plans = store
    parts.state.memberships = memberships

    def tell_ledger(allowances: Allowances) -> None:
        ledger.allowances = allowances

    shelf = NatsShelf(parts.bus, PLANS_BUCKET, PLANS_KEY, PlanBook)
    sweeper = MembershipSweeper(parts.writer, memberships, store, shelf, parts.clock, tell_ledger)
    parts.bus.on_reconnect(sweeper.republish)
    if file_plans:

        async def apply_file() -> None:
            await put_plans(store, file_plans, FILE_SOURCE)

        parts.until_done(apply_file)
    parts.every(parts.settings.sweep_interval_s, sweeper.sweep)


def check_plans(bootstrap: Bootstrap) -> None:
    """InvalidRequestError when the file's plans cannot be."""
    read_plans(bootstrap.plans)


MEMBERSHIPS = Feature(
    controllers=(PlanController, MembershipController),
    names=("plans", "memberships"),
    open=open_memberships,
    check=check_plans,
)
