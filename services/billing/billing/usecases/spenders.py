"""What spenders have used."""

from collections.abc import Sequence

from billing.domain.leases import is_uuid
from billing.domain.ports import Clock, SpenderReader
from billing.domain.spenders import Spender
from common.contracts.errors import InvalidRequestError

MOST_SPENDERS = 1_000


async def read_spenders(reader: SpenderReader, clock: Clock, spenders: Sequence[str]) -> list[Spender]:
    """Those the ledger has met, each in the window that is now; InvalidRequestError."""
    if len(spenders) > MOST_SPENDERS or not all(map(is_uuid, spenders)):
        raise InvalidRequestError(f"At most {MOST_SPENDERS} ids of spenders.", param="spenders")
    found = await reader.read(spenders)
    now = clock()
    for spender in found:
        spender.roll(now)
    return found
