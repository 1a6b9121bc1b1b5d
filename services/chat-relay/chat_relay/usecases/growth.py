"""A stream whose reservation may not cover it asks for more while it runs."""

import asyncio
import logging

from chat_relay.domain import metering
from chat_relay.domain.frames import ChatFrames
from chat_relay.usecases.exchanges import Exchange
from chat_relay.usecases.leases import Leases
from common.contracts.errors import ServiceError, UnavailableError

_LOG = logging.getLogger(__name__)
CHECK_EVERY_FRAMES = 16
CHECK_EVERY_BYTES = 4_096
_STEP_TOKENS = 256
_MINIMUM_STEP_TOKENS = 16
_ATTEMPTS = 3


class Growth:
    """Watches what was delivered against what is covered; extends at 80 %, ends the stream at 100 %."""

    def __init__(self, leases: Leases, exchange: Exchange) -> None:
        self._leases = leases
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None
        self._error: ServiceError | None = None
        self._failures = 0
        self._next_frames = CHECK_EVERY_FRAMES
        self._next_bytes = CHECK_EVERY_BYTES
        self._covered = self._covered_tokens()

    def check(self, frames: ChatFrames) -> ServiceError | None:
        """Called after each delivery; the reason to end the stream now, None to go on."""
        if frames.frames < self._next_frames and frames.delivered_bytes < self._next_bytes:
            return None
        self._next_frames = frames.frames + CHECK_EVERY_FRAMES
        self._next_bytes = frames.delivered_bytes + CHECK_EVERY_BYTES
        delivered = frames.output_tokens()
        if delivered * 5 < self._covered * 4:
            return None
        if self._error is None and self._task is None:
            self._task = asyncio.create_task(self._extend(), name="extend")
        return self._error if delivered >= self._covered else None

    async def stop(self) -> None:
        """Wait for an extension under way, so that the reservation is final."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _covered_tokens(self) -> int:
        exchange = self._exchange
        return metering.tokens_covered(
            exchange.reservation.amount_nano,
            exchange.quote.ceiling,
            exchange.quote.rate_micro,
            exchange.input_hold_nano,
        )

    def _cost_nano(self, tokens: int) -> int:
        quote = self._exchange.quote
        return metering.output_nano(quote.ceiling, quote.rate_micro, tokens)

    async def _extend(self) -> None:
        more_nano = self._cost_nano(max(_STEP_TOKENS, self._covered // 2))
        minimum_nano = self._cost_nano(_MINIMUM_STEP_TOKENS)
        exchange = self._exchange
        try:
            await self._leases.extend(exchange.principal, exchange.reservation, more_nano, minimum_nano)
            self._covered = self._covered_tokens()
        except UnavailableError as error:
            self._failures += 1
            if self._failures >= _ATTEMPTS:
                self._error = error
        except ServiceError as error:
            self._error = error
        except Exception:  # noqa: BLE001  a task's end: the stream must learn of it
            _LOG.exception("a reservation could not be extended")
            self._error = UnavailableError("Billing failed.")
        finally:
            self._task = None
