"""Redemption codes: made, won once, credited once."""

import logging
from datetime import timedelta

from billing.domain.leases import is_uuid
from billing.domain.ports import Clock, Writer
from billing.domain.topups import PostTopup, Topup
from billing.payments.domain.codes import (
    GUESS_WINDOW,
    GUESSES,
    Batch,
    Claim,
    Code,
    Found,
    hash_of,
    new_code,
    prefix_of,
    read_code,
)
from billing.payments.domain.errors import CodeExpiredError, CodesOffError, CodeUnknownError, CodeUsedError
from billing.payments.domain.ports import CodeStore
from common.contracts.errors import NotFoundError, RateLimitedError, ServiceError

_LOG = logging.getLogger(__name__)
_CREDIT_AFTER = timedelta(seconds=30)
_BATCH = 100


class Codes:
    """All codes of this installation; `pepper` is the key under which they are stored."""

    def __init__(self, store: CodeStore, writer: Writer, clock: Clock, pepper: str) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._pepper = pepper

    async def create(self, batch: Batch) -> list[str]:
        """The codes of a new batch, told this once."""
        self._require_pepper()
        codes = [new_code() for _ in range(batch.size)]
        hashes = [hash_of(code, self._pepper) for code in codes]
        await self._store.add(batch, hashes, [prefix_of(code) for code in codes])
        return codes

    async def list_batches(self, before: int, limit: int) -> list[Batch]:
        """Newest first."""
        return await self._store.list_batches(before, limit)

    async def list_codes(self, batch: str, after: int, limit: int) -> list[Code]:
        """The codes of a batch, without what makes them worth anything; NotFoundError."""
        await self.find_batch(batch)
        return await self._store.list_codes(batch, after, limit)

    async def find_batch(self, batch: str) -> Batch:
        """One batch; NotFoundError."""
        found = await self._store.find_batch(batch) if is_uuid(batch) else None
        if found is None:
            raise NotFoundError("There is no such batch.")
        return found

    async def revoke(self, batch: str) -> Batch:
        """No code of the batch is won from now on; NotFoundError."""
        if not is_uuid(batch) or not await self._store.revoke(batch, self._clock()):
            raise NotFoundError("There is no such batch.")
        return await self.find_batch(batch)

    async def redeem(self, text: str, account: str, redemption: str) -> Topup:
        """Credit the code's worth; the same `redemption` gets the same answer again.

        CodeUnknownError, CodeUsedError, CodeExpiredError; RateLimitedError after too many wrong codes.
        """
        self._require_pepper()
        await self._check_guesses(account)
        code = read_code(text)
        hash_ = hash_of(code, self._pepper) if code else b""
        now = self._clock()
        claim = await self._store.claim(hash_, account, redemption, now) if code else None
        if claim is None:
            won, found = await self._store.look(hash_, now) if code else (None, None)
            if found is None:
                await self._store.count_failure(account, now, now - GUESS_WINDOW)
                raise CodeUnknownError("There is no such code.", param="code")
            claim = _own(won, found, account, redemption)
        return await self._credit(claim)

    async def sweep(self) -> None:
        """Credit the winners of codes whom a crash left without."""
        for claim in await self._store.uncredited(self._clock() - _CREDIT_AFTER, _BATCH):
            try:
                await self._credit(claim)
            except ServiceError as error:
                _LOG.warning("redemption %s: credited later: %s", claim.redemption, error.message)

    async def _credit(self, claim: Claim) -> Topup:
        topup = PostTopup(
            claim.redemption, claim.account, claim.amount_nano, "redemption", f"code:{claim.batch}"
        )
        posted: Topup = await self._writer.submit(topup)
        await self._store.credited(claim.hash)
        return posted

    async def _check_guesses(self, account: str) -> None:
        now = self._clock()
        failures, began = await self._store.failures(account, now - GUESS_WINDOW)
        if began is not None and failures >= GUESSES:
            wait = began + GUESS_WINDOW - now
            raise RateLimitedError("Too many wrong codes.", retry_after_s=max(1, wait.total_seconds()))

    def _require_pepper(self) -> None:
        if not self._pepper:
            raise CodesOffError("This installation has no redemption codes: TOLLWAY_CODE_PEPPER is not set.")


def _own(won: Claim | None, found: Found, account: str, redemption: str) -> Claim:
    """The claim when it is this very redemption, repeated."""
    if won is not None and (won.account, won.redemption) == (account, redemption):
        return won
    if found.redemption is not None:
        raise CodeUsedError("This code was redeemed before.", param="code")
    raise CodeExpiredError("This code is no longer good.", param="code")
