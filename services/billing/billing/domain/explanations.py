"""Why a charge is what it is: the calculation line by line, so that anyone can repeat it to the nano-USD."""

from collections.abc import Mapping

from billing.domain.statements import ChargedUsage
from common.contracts.prices import prompt_tokens
from common.kit.money import MICRO, format_decimal, format_rate, format_usd

_PER_ONE = {"call", "second", "image", "megapixel", "character"}
_PICO_MICRO_PLACES = 18


def explain(charge: ChargedUsage) -> list[str]:
    """Where the price came from; a line for each quantity; the rates; the one rounding; who paid."""
    total = sum(quantity * charge.unit_pico.get(unit, 0) for unit, quantity in charge.quantities.items())
    lines = _price_lines(charge)
    lines += [
        _quantity_line(unit, quantity, charge.unit_pico) for unit, quantity in charge.quantities.items()
    ]
    if len(charge.quantities) > 1:
        lines.append(f"sum = {format_decimal(total, 12)} USD")
    lines += _rate_lines(charge, total)
    lines.append(f"rounded once to a billionth, half to even: {format_usd(charge.cost_nano)} USD")
    lines.append(f"from the lease: {format_usd(charge.from_held_nano)} USD")
    if charge.overage_nano:
        lines.append(f"overage beyond the lease, from the wallet: {format_usd(charge.overage_nano)} USD")
    if charge.free_nano:
        lines.append(f"of both, paid by the free allowance: {format_usd(charge.free_nano)} USD")
    if charge.uncollected_nano:
        lines.append(f"not collected, the wallet was empty: {format_usd(charge.uncollected_nano)} USD")
    if charge.estimated:
        lines.append("estimated: the upstream reported no usage, so the counts are Tollway's own")
    if charge.partial:
        lines.append("partial: the answer was cut before its end and only what was delivered is charged")
    return lines


def _price_lines(charge: ChargedUsage) -> list[str]:
    terms = charge.terms
    kept = charge.model if terms is None else terms.model
    asked = "" if kept == charge.model else f" for {charge.model}, which has none of its own"
    lines = [f"price of {kept}, version {charge.price_version}{asked}"]
    if terms is not None and terms.tier_above:
        size = prompt_tokens(charge.quantities)
        lines.append(
            f"tier above {terms.tier_above} prompt tokens, since the prompt has {size}:"
            " its prices hold for the whole request"
        )
    return lines


def _quantity_line(unit: str, quantity: int, unit_pico: Mapping[str, int]) -> str:
    price = unit_pico.get(unit)
    if price is None:
        return f"{quantity} {unit}: no price, free"
    amount = format_decimal(quantity * price, 12)
    if unit in _PER_ONE:
        return f"{quantity} {unit} x {format_decimal(price, 12)} USD = {amount} USD"
    return f"{quantity} {unit} x {format_decimal(price, 6)} USD per million = {amount} USD"


def _rate_lines(charge: ChargedUsage, total: int) -> list[str]:
    terms, rate = charge.terms, charge.rate_micro
    named = f"rate of group {charge.group}"
    lines = []
    if terms is not None and terms.multipliers:
        product = f"{format_rate(terms.group_rate_micro)} ({named})"
        for name, micro in terms.multipliers.items():
            product += f" x {format_rate(micro)} (multiplier {name})"
        lines.append(f"{product} = {format_rate(rate)}, to six decimals")
        named = "all rates"
    if rate != MICRO or lines:
        amount = format_decimal(total * rate, _PICO_MICRO_PLACES)
        lines.append(f"x {format_rate(rate)} ({named}) = {amount} USD")
    return lines
