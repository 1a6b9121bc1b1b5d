"""Say what is owed to apps, and pay it out."""

from billing.domain.payables import PayApp, check_apps, check_payout
from billing.domain.ports import PayableReader, Writer
from common.contracts.payables import Payables, PayablesRead, PayoutPost, PayoutState


class AppMoney:
    """The calls, for the RPC server; errors as contracts.payables has them."""

    def __init__(self, reader: PayableReader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, request: PayablesRead) -> Payables:
        """What is owed, zero to an app that was never paid."""
        check_apps(request)
        balances = await self._reader.read(request.apps)
        return Payables(tuple(balances.get(app, 0) for app in request.apps))

    async def pay(self, request: PayoutPost) -> PayoutState:
        """Once per id."""
        check_payout(request)
        state: PayoutState = await self._writer.submit(PayApp(request))
        return state
