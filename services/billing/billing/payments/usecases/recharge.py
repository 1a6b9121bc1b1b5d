"""What a USD of balance costs, by currency."""

from collections.abc import Sequence

from billing.payments.domain.errors import NoRatioError
from billing.payments.domain.ports import RatioStore
from billing.payments.domain.recharge import Ratio
from common.contracts.errors import NotFoundError


async def list_ratios(store: RatioStore) -> list[Ratio]:
    """All, by currency."""
    return await store.list_all()


async def find_ratio(store: RatioStore, currency: str) -> Ratio:
    """That of a currency; NoRatioError."""
    ratio = await store.find(currency)
    if ratio is None:
        raise NoRatioError(f"Payments in {currency} are not accepted here.", param="currency")
    return ratio


async def put_ratio(store: RatioStore, ratio: Ratio) -> Ratio:
    """In force for payments made from now on."""
    await store.put(ratio)
    return ratio


async def remove_ratio(store: RatioStore, currency: str) -> None:
    """Accept the currency no longer; NotFoundError."""
    if not await store.remove(currency):
        raise NotFoundError("There is no ratio of this currency.")


async def apply_ratios(store: RatioStore, ratios: Sequence[Ratio]) -> None:
    """Those of the bootstrap file, at every start."""
    for ratio in ratios:
        await store.put(ratio)
