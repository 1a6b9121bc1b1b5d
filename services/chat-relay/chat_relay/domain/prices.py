"""The price book as requests use it: what a hold needs is worked out once when the book is loaded."""

from collections.abc import Mapping

from common.contracts.errors import UnavailableError
from common.contracts.prices import Price, PriceBook

PICO_MICRO_PER_NANO = 1_000 * 1_000_000


class ModelPrice:
    """One model's price. `input_pico` is the dearest a token of text can cost, `any_input_pico` and
    `output_pico` the dearest a token of any kind can: what a hold must assume.
    """

    __slots__ = (
        "any_input_pico",
        "call_pico",
        "context_window",
        "input_pico",
        "max_output",
        "output_pico",
        "unit_pico",
        "version",
    )

    def __init__(self, price: Price) -> None:
        unit: Mapping[str, int] = price.unit_pico
        self.unit_pico = unit
        self.version = price.version
        self.context_window = price.context_window
        self.max_output = price.max_output
        self.call_pico = unit.get("call", 0)
        self.input_pico = max(unit.get("input", 0), unit.get("cached_input", 0))
        self.any_input_pico = max(self.input_pico, unit.get("audio_input", 0), unit.get("image_input", 0))
        self.output_pico = max(unit.get("output", 0), unit.get("reasoning", 0), unit.get("audio_output", 0))


class Prices:
    """All prices in force; `loaded` is False until the first book came."""

    def __init__(self) -> None:
        self.loaded = False
        self.version = 0
        self._models: dict[str, ModelPrice] = {}

    def load(self, book: PriceBook) -> None:
        """Replace the prices; an older book than the one in force is ignored."""
        if self.loaded and book.version < self.version:
            return
        self._models = {price.model: ModelPrice(price) for price in book.prices}
        self.version = book.version
        self.loaded = True

    def of(self, model: str) -> ModelPrice | None:
        """The model's price, None when it has none; UnavailableError while there is no book to say so."""
        if not self.loaded:
            raise UnavailableError("The price book has not arrived yet.", retry_after_s=1)
        return self._models.get(model)
