"""Find the charges that somebody wants explained."""

from datetime import UTC, datetime

from billing.domain.leases import is_uuid
from billing.domain.ports import UsageReader
from billing.domain.statements import NEWEST_ID, ChargedUsage, Position, UsageFilter
from billing.usecases.usage import find_usage
from common.contracts.errors import NotFoundError

_END = Position(datetime(9999, 1, 1, tzinfo=UTC), NEWEST_ID)


async def find_charges(
    reader: UsageReader, wanted: UsageFilter, before: Position | None, limit: int
) -> list[ChargedUsage]:
    """The charges of `wanted.request_id`, newest first, or the one whose own id it is.

    NotFoundError when there is none, or none of `wanted.account`.
    """
    charges = await reader.newest(wanted, before or _END, limit)
    if charges or before is not None:
        return charges
    if wanted.request_id is None or not is_uuid(wanted.request_id):
        raise NotFoundError("There is no charge of this request.")
    return [await find_usage(reader, wanted.request_id, wanted.account)]
