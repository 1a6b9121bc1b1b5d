"""The hash chain: every row of transfers and usage_records, in the order of `position`, in sealed batches.

A seal's digest is SHA-256 over its own fields, the digest of its rows and the digest of the seal before it,
so whoever knows one digest can tell whether anything sealed up to there was edited, deleted or inserted.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from billing.domain.audits import AuditCheck

GENESIS = bytes(32)
"""What stands before the first seal."""
BATCH = 10_000
"""Positions in one seal at most: the range in which a changed row is then looked for."""


class RowsDigest(msgspec.Struct, frozen=True):
    """What the rows of a range of positions are: their numbers, the span of `posted_at`, and their digest.

    The digest is SHA-256 over one line per row, in order of position; `docs/guides/audit.md` has the lines.
    """

    transfers: int
    records: int
    posted_from: datetime | None
    posted_to: datetime | None
    digest: bytes


class Seal(msgspec.Struct, frozen=True):
    """One sealed batch: everything from `first_position` to `last_position`, both included."""

    number: int
    first_position: int
    last_position: int
    transfers: int
    records: int
    posted_from: datetime | None
    posted_to: datetime | None
    rows_digest: bytes
    previous: bytes
    digest: bytes
    sealed_at: datetime

    def expected(self) -> bytes:
        """The digest these fields make."""
        fields = (
            self.number, self.first_position, self.last_position, self.transfers, self.records,
            _micros(self.posted_from), _micros(self.posted_to), _micros(self.sealed_at),
            self.rows_digest.hex(), self.previous.hex(),
        )  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(fields)).digest()

    def holds(self, rows: RowsDigest) -> bool:
        """Whether these are the rows that were sealed."""
        return (rows.transfers, rows.records, rows.digest) == (
            self.transfers,
            self.records,
            self.rows_digest,
        )


class ChainReport(msgspec.Struct, frozen=True):
    """What was verified; `first_bad` names the first seal that is not as it was made and why.

    `expected` is the number of the seal whose digest the caller had kept, None when it is not in the chain.
    `unverified` seals lie in tables that were detached and taken away: their links hold, their rows are
    elsewhere.
    """

    ok: bool
    seals: int
    rows: int
    unverified: int
    bad: int
    first_bad: str
    head: str
    expected: int | None = None

    def check(self) -> AuditCheck:
        """As a line of the audit."""
        detail = f"seals={self.seals}, rows={self.rows}, bad_seals={self.bad}"
        if self.unverified:
            detail += f", elsewhere={self.unverified}"
        if self.first_bad:
            detail += f", first={self.first_bad}"
        return AuditCheck("seals", self.ok, f"{detail}, head={self.head or 'none'}")


def next_seal(head: Seal | None, last_position: int, rows: RowsDigest, now: datetime) -> Seal:
    """The seal that follows `head` and ends at `last_position`."""
    previous = GENESIS if head is None else head.digest
    draft = Seal(
        number=1 if head is None else head.number + 1,
        first_position=1 if head is None else head.last_position + 1,
        last_position=last_position,
        transfers=rows.transfers,
        records=rows.records,
        posted_from=rows.posted_from,
        posted_to=rows.posted_to,
        rows_digest=rows.digest,
        previous=previous,
        digest=b"",
        sealed_at=now,
    )
    return msgspec.structs.replace(draft, digest=draft.expected())


def fault_of(seal: Seal, before: Seal | None, rows: RowsDigest | None) -> str:
    """Why the seal or its rows are not as they were made; empty when they are, or `rows` is elsewhere."""
    place = f"seal {seal.number} (positions {seal.first_position} to {seal.last_position})"
    if seal.expected() != seal.digest:
        return f"{place}: the seal itself was edited"
    if before is not None and (seal.previous, seal.number) != (before.digest, before.number + 1):
        return f"{place}: does not follow seal {before.number}"
    if before is None and seal.number == 1 and seal.previous != GENESIS:
        return f"{place}: does not begin the chain"
    if rows is None or seal.holds(rows):
        return ""
    sealed, found = seal.transfers + seal.records, rows.transfers + rows.records
    if sealed != found:
        return f"{place}: {sealed} rows were sealed, {found} are there"
    return f"{place}: a row was edited"


def chain_faults(seals: Sequence[Seal], before: Seal | None, rows: Sequence[RowsDigest | None]) -> list[str]:
    """The faults of consecutive seals, in order, empty strings for those that are as they were made."""
    faults = []
    for seal, found in zip(seals, rows, strict=True):
        faults.append(fault_of(seal, before, found))
        before = seal
    return faults


def _micros(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
