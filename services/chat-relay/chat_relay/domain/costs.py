"""What a request costs us: the terms of the upstream account that served it, whatever the customer pays."""

from collections.abc import Iterable, Mapping
from typing import get_args

import msgspec

from common.contracts.bootstrap import UnitPricesSpec
from common.contracts.errors import InvalidRequestError
from common.contracts.prices import Unit
from common.kit.money import (
    MAX_NANO,
    MICRO,
    cost_nano,
    format_decimal,
    parse_rate,
    per_million_to_pico,
    per_one_to_pico,
)

_UNITS = get_args(Unit)
_PER = "per_"


class ModelCost(msgspec.Struct, frozen=True):
    """Pico-USD per unit that the upstream takes for `model`, which may end with `*`. Other units are free."""

    model: str
    unit_pico: dict[str, int]


class CostTerms:
    """The terms of one channel: prices by model win, then the rate on the list price in millionths."""

    __slots__ = ("_exact", "_prefixes", "_rate_micro")

    def __init__(self, rate_micro: int | None, costs: Iterable[ModelCost]) -> None:
        self._rate_micro = rate_micro
        self._exact: dict[str, dict[str, int]] = {}
        prefixes = []
        for cost in costs:
            if cost.model.endswith("*"):
                prefixes.append((cost.model[:-1], cost.unit_pico))
            else:
                self._exact[cost.model] = cost.unit_pico
        self._prefixes = sorted(prefixes, key=lambda entry: len(entry[0]), reverse=True)

    def cost_nano(
        self, model: str, quantities: Mapping[str, int], list_pico: Mapping[str, int]
    ) -> int | None:
        """Nano-USD, rounded once, half to even; None when the terms are not known or the sum is no amount.

        `model` is the public name; `list_pico` is the list price that the request was priced at.
        """
        unit_pico = self._exact.get(model)
        if unit_pico is None:
            unit_pico = next((pico for prefix, pico in self._prefixes if model.startswith(prefix)), None)
        if unit_pico is not None:
            cost = cost_nano(quantities, unit_pico, MICRO)
        elif self._rate_micro is not None:
            cost = cost_nano(quantities, list_pico, self._rate_micro)
        else:
            return None
        return cost if cost <= MAX_NANO else None


def cost_from_spec(model: str, spec: UnitPricesSpec) -> ModelCost:
    """The prices a person wrote; InvalidRequestError names the field that is none, or that there are none."""
    if not model or "\0" in model:
        raise InvalidRequestError("A cost names a model.", param="costs")
    unit_pico = {}
    for field in UnitPricesSpec.__struct_fields__:
        text = getattr(spec, field)
        if text is not None:
            parse = per_one_to_pico if field.startswith(_PER) else per_million_to_pico
            try:
                unit_pico[field.removeprefix(_PER)] = parse(text)
            except ValueError as error:
                raise InvalidRequestError(f"costs: {field}: {error}", param="costs") from None
    if not unit_pico:
        raise InvalidRequestError(f"The cost of {model} has no price; 0 is one.", param="costs")
    return ModelCost(model, unit_pico)


def spec_fields(cost: ModelCost) -> dict[str, str]:
    """The cost as people write it."""
    fields = {"model": cost.model}
    for unit in _UNITS:
        if unit in cost.unit_pico:
            per_one = f"{_PER}{unit}" in UnitPricesSpec.__struct_fields__
            name, places = (f"{_PER}{unit}", 12) if per_one else (unit, 6)
            fields[name] = format_decimal(cost.unit_pico[unit], places)
    return fields


def rate_from_text(text: str | None) -> int | None:
    """The rate on the list price in millionths; InvalidRequestError when it is none."""
    try:
        return None if text is None else parse_rate(text)
    except ValueError as error:
        raise InvalidRequestError(f"cost_rate: {error}", param="cost_rate") from None
