"""Put plans in force, and lay them where the gateway finds them."""

import logging
from collections.abc import Sequence

from billing.memberships.domain.plans import read_plans
from billing.memberships.domain.ports import PlanShelf, PlanStore
from common.contracts.bootstrap import PlanSpec
from common.contracts.errors import UnavailableError
from common.contracts.plans import PlanBook

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 10


async def put_plans(store: PlanStore, plans: Sequence[PlanSpec], source: str) -> PlanBook:
    """Put the plans in force in place of all others; InvalidRequestError when they cannot be.

    The ledger follows within a sweep, and with it memberships and the gateway.
    """
    read_plans(plans)
    return await store.put(plans, source)


async def list_plans(store: PlanStore) -> PlanBook:
    """The plans in force."""
    return await store.current()


async def publish_plans(store: PlanStore, shelf: PlanShelf) -> PlanBook:
    """Make the shelf's book the store's; UnavailableError when it cannot be reached.

    The store is read after the shelf: if they differ then, the shelf is behind (or of another life).
    """
    for _ in range(_ATTEMPTS):
        lying, revision = await shelf.read()
        book = await store.current()
        if lying == book or await shelf.replace(book, revision):
            _LOG.info("plans: version %d is published", book.version)
            return book
    raise UnavailableError("The plan bucket changes faster than it can be written.")
