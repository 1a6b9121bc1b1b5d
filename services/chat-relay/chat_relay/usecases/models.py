"""Which models a caller may use: served to its group, priced, and allowed by its key."""

import time

from chat_relay.domain.prices import Prices
from chat_relay.usecases.channels import Channels
from common.contracts.errors import ModelNotFoundError
from common.contracts.principals import Principal


class Models:
    """The public model list."""

    def __init__(self, channels: Channels, prices: Prices) -> None:
        self._channels = channels
        self._prices = prices

    def list_models(self, principal: Principal) -> list[str]:
        """Names in order."""
        now_ms = time.time_ns() // 1_000_000
        return [
            model
            for model in self._channels.table.models(principal.group)
            if self._prices.of(model, now_ms) is not None and principal.allows_model(model)
        ]

    def find_model(self, principal: Principal, model: str) -> str:
        """The name; ModelNotFoundError when the caller cannot use it, for whatever reason."""
        served = self._channels.table.serves(model, principal.group)
        now_ms = time.time_ns() // 1_000_000
        if served and self._prices.of(model, now_ms) is not None and principal.allows_model(model):
            return model
        raise ModelNotFoundError(
            f"The model '{model}' does not exist or you do not have access to it.", param="model"
        )
