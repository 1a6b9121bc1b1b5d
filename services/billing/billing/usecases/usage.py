"""Charge usage and show it."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from billing.domain.ports import DeadLetters, UsageReader, Writer
from billing.domain.statements import ChargedUsage, Position, UsageFilter
from billing.domain.usage import ChargeUsage, check_record, without_nul
from common.contracts.errors import InvalidRequestError, NotFoundError, ServiceError, UnavailableError
from common.contracts.usage import UsageBatch, UsageRecord

_LOG = logging.getLogger(__name__)
CHUNK = 128
"""Records of one operation: what a call to the ledger may have to wait for."""
_AT_ONCE = 16
"""Chunks that wait for the writer: it always has the next batch, and its queue is never full of usage."""


class UsageCharger:
    """Charges what relays report, each record exactly once however often it arrives."""

    def __init__(self, writer: Writer, letters: DeadLetters) -> None:
        self._writer = writer
        self._letters = letters

    async def charge_usage(self, batches: Iterable[UsageBatch]) -> None:
        """Return when every record is charged or buried; UnavailableError when that is not possible now.

        A record that can never be charged is buried alone: those beside it are charged.
        """
        bad: list[tuple[UsageRecord, ServiceError]] = []
        waiting: deque[asyncio.Task[None]] = deque()
        try:
            for chunk in self._chunks(_checked(batches, bad)):
                if len(waiting) == _AT_ONCE:
                    await waiting.popleft()
                waiting.append(asyncio.create_task(self._charge(chunk)))
            while waiting:
                await waiting.popleft()
        finally:
            await asyncio.gather(*waiting, return_exceptions=True)
        for record, refusal in bad:
            await self._bury(record, refusal)

    def _chunks(self, records: Iterable[UsageRecord]) -> Iterator[tuple[UsageRecord, ...]]:
        # Each of one lane of the writer's: one of customers of all lanes would have all of them wait.
        lanes: dict[int, list[UsageRecord]] = {}
        for record in records:
            chunk = lanes.setdefault(self._writer.lane_of(record.account), [])
            chunk.append(record)
            if len(chunk) == CHUNK:
                yield tuple(chunk)
                chunk.clear()
        for chunk in lanes.values():
            if chunk:
                yield tuple(chunk)

    async def _charge(self, records: tuple[UsageRecord, ...]) -> None:
        try:
            await self._writer.submit(ChargeUsage(records), records[0].account)
        except UnavailableError:
            raise
        except ServiceError as error:
            if len(records) == 1:
                await self._bury(records[0], error)
                return
            # One record that the database refuses spoils its chunk: each gets its own operation.
            for record in records:
                await self._charge((record,))

    async def _bury(self, record: UsageRecord, error: ServiceError) -> None:
        _LOG.error("usage: record %r cannot be charged: %s", record.id[:36], error.message)
        payload = msgspec.msgpack.encode(UsageBatch("", (record,)))
        await self._letters.bury(payload, error.message)


def _checked(
    batches: Iterable[UsageBatch], bad: list[tuple[UsageRecord, ServiceError]]
) -> Iterator[UsageRecord]:
    # One after the other while those before are charged: a full fetch at once would hold up every call.
    for batch in batches:
        for record in batch.records:
            checked = without_nul(record) if _has_nul(record) else record
            try:
                check_record(checked)
            except InvalidRequestError as error:
                bad.append((record, error))
            else:
                yield checked


def _has_nul(record: UsageRecord) -> bool:
    return (
        "\0" in record.request_id
        or "\0" in record.model
        or "\0" in record.upstream_model
        or "\0" in record.channel
        or "\0" in record.group
        or "\0" in record.user
        or "\0" in record.operation
        or "\0" in record.app
        or any("\0" in unit for unit in record.quantities)
        or any("\0" in unit for unit in record.unit_pico)
    )


async def list_usage(
    reader: UsageReader, wanted: UsageFilter, before: Position, limit: int
) -> list[ChargedUsage]:
    """The charges that pass the filter, before a position, newest first."""
    return await reader.newest(wanted, before, limit)


async def find_usage(reader: UsageReader, record: str, account: str | None) -> ChargedUsage:
    """One charge; NotFoundError when there is none or it is not `account`'s (None may see all)."""
    charge = await reader.find(record)
    if charge is None or account not in (None, charge.account):
        raise NotFoundError("There is no such usage record.")
    return charge
