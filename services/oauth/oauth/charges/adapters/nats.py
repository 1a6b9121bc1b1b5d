"""Billing over RPC."""

import asyncio

from common.contracts.holds import (
    HOLD_CHARGE,
    HOLD_CHARGES,
    HoldCharge,
    HoldCharges,
    HoldOutcome,
    HoldState,
)
from common.contracts.rpc import Method, RequestT, ResponseT
from common.kit.rpc import RpcClient

_Waiting = tuple[HoldCharge, asyncio.Future[HoldOutcome]]


class NatsLedger:
    """See the ChargeLedger port. Charges of one turn of the event loop travel in one message."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def call(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """See the port."""
        return await self._rpc.call(method, request)

    async def charge(self, request: HoldCharge) -> HoldState:
        """See the port. As many travel together as are written together (usecases.batches), and no more."""
        if not self._waiting:  # sent after all that charge in this turn
            task = asyncio.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        answer: asyncio.Future[HoldOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        outcome = await answer
        if outcome.refused is not None:
            raise outcome.refused.as_error()
        return outcome.state or await self._rpc.call(HOLD_CHARGE, request)

    async def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(waiting) == 1:
            waiting[0][1].set_result(HoldOutcome())
            return
        try:
            decided = await self._rpc.call(HOLD_CHARGES, HoldCharges(tuple(call for call, _ in waiting)))
        except Exception as error:  # noqa: BLE001  whatever failed, those who wait are told
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), outcome in zip(waiting, decided.outcomes, strict=True):
            if not answer.done():  # else nobody waits any more
                answer.set_result(outcome)
