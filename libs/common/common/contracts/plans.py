"""Plans: what members get, in the NATS key-value bucket where the gateway finds them."""

import msgspec

from common.contracts.bootstrap import PlanSpec

PLANS_BUCKET = "PLANS"
PLANS_KEY = "book"


class PlanBook(msgspec.Struct, frozen=True):
    """Every plan in force; msgpack. `version` grows with each change, 0 before the first."""

    version: int = 0
    plans: tuple[PlanSpec, ...] = ()
