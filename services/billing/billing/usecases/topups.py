"""Put money into wallets, and say what is in them."""

import asyncio
import logging
from collections.abc import Mapping

from billing.domain.leases import is_uuid
from billing.domain.ports import AccountFinder, WalletReader, Writer
from billing.domain.statements import Balances
from billing.domain.topups import PostTopup, Topup, check_topup
from common.contracts.errors import ConflictError, ServiceError
from common.kit.ids import named_id

_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0


async def post_topup(writer: Writer, operation: PostTopup) -> Topup:
    """Credit the wallet once per id; ConflictError for another body, InvalidRequestError."""
    check_topup(operation)
    topup: Topup = await writer.submit(operation)
    return topup


async def read_wallet(wallets: WalletReader, account: str) -> Balances:
    """What the account has now: nothing, when it is no account's id."""
    return await wallets.read(account) if is_uuid(account) else Balances(0, 0, 0)


async def post_grants(writer: Writer, find_account: AccountFinder, grants: Mapping[str, int]) -> None:
    """Post each grant (e-mail to nano-USD) once per account, whatever happens; waits for the gateway."""
    for email, amount_nano in grants.items():
        await _grant(writer, find_account, email, amount_nano)


async def _grant(writer: Writer, find_account: AccountFinder, email: str, amount_nano: int) -> None:
    while True:
        try:
            account = await find_account(email)
            grant = PostTopup(named_id("grant", account), account, amount_nano, "grant", "bootstrap")
            await post_topup(writer, grant)
        except ConflictError:
            # The file names another sum than was granted: a grant is posted once, not corrected.
            _LOG.warning("grant: an account was granted another sum before and keeps it")
            return
        except ServiceError as error:
            _LOG.info("grant: not yet: %s", error.message)
            await asyncio.sleep(_RETRY_S)  # the gateway may not have made the user yet
        else:
            return
