"""The price book in memory."""

import pytest

from chat_relay.domain.prices import Prices
from common.contracts.errors import UnavailableError
from common.contracts.prices import Price, PriceBook


def test_before_the_first_book_no_model_is_called_unknown() -> None:
    prices = Prices()
    with pytest.raises(UnavailableError):
        prices.of("gpt-4o-mini", 0)
    prices.load(PriceBook(1, (Price("gpt-4o-mini", {"input": 150_000}),)))
    assert prices.of("gpt-4o-mini", 0) is not None
    assert prices.of("gpt-5", 0) is None
