"""Channels: upstream accounts, and which of them may serve a model to a group."""

import random
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import msgspec

from chat_relay.domain.costs import CostTerms, ModelCost
from common.contracts.errors import ConflictError, InvalidRequestError, NotFoundError

SUPPORTED_KINDS = ("openai",)
MEDIA_KINDS = frozenset(
    [
        *("midjourney", "suno", "kling", "luma", "runway", "vidu", "cogvideox"),
        *("pika", "pixverse", "viggle", "bfl", "ideogram", "sd"),
    ]
)
"""Kinds that belong to media-tasks: passed over when the bootstrap file names them."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream account. `models` are public names, `model_map` renames them for the upstream.

    A higher `priority` is tried first; `weight` shares requests among equals; `api_keys` are used in turn.
    What the upstream takes: `costs` by model, else `cost_rate_micro` millionths of the list price.
    """

    name: str
    kind: str
    base_url: str
    models: tuple[str, ...]
    model_map: dict[str, str] = {}
    priority: int = 0
    weight: int = 1
    groups: tuple[str, ...] = ("default",)
    enabled: bool = True
    api_keys: tuple[str, ...] = ()
    cost_rate_micro: int | None = None
    costs: tuple[ModelCost, ...] = ()


class ChannelExistsError(ConflictError):
    """The name is taken."""


class ChannelNotFoundError(NotFoundError):
    """No channel has the name."""


def check_channel(channel: Channel) -> Channel:
    """The channel, or InvalidRequestError naming the field.

    The address may be private: channels are set by the operator, and models often run next door.
    """
    if not channel.name or len(channel.name) > 100:
        raise InvalidRequestError("A channel needs a name of 1 to 100 characters.", param="name")
    if channel.kind not in SUPPORTED_KINDS:
        raise InvalidRequestError(
            f"Channel '{channel.name}': kind `{channel.kind}` is not supported; supported: "
            f"{', '.join(SUPPORTED_KINDS)}.",
            param="kind",
        )
    url = urlsplit(channel.base_url)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment or url.username:
        raise InvalidRequestError(
            f"Channel '{channel.name}': base_url must be http(s)://host[:port][/path] and nothing more.",
            param="base_url",
        )
    if not channel.models:
        raise InvalidRequestError(f"Channel '{channel.name}' serves no models.", param="models")
    if not 0 <= channel.weight <= 1_000_000:
        raise InvalidRequestError("A weight is between 0 and 1,000,000.", param="weight")
    if len({cost.model for cost in channel.costs}) < len(channel.costs):
        raise InvalidRequestError(f"Channel '{channel.name}': a model has two costs.", param="costs")
    if any(not key.isascii() or not key.isprintable() for key in channel.api_keys):
        raise InvalidRequestError("An API key is printable ASCII.", param="api_key")
    return channel


class Target:
    """A channel as requests use it: keys in turn, its address without a trailing slash."""

    __slots__ = ("_turn", "base_url", "channel", "costs", "name")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.name = channel.name
        self.base_url = channel.base_url.rstrip("/")
        self.costs = CostTerms(channel.cost_rate_micro, channel.costs)
        self._turn = 0

    def next_key(self) -> str:
        """The key for the next request; empty when the channel has none."""
        keys = self.channel.api_keys
        if not keys:
            return ""
        self._turn = (self._turn + 1) % len(keys)
        return keys[self._turn]

    def upstream_model(self, model: str) -> str:
        """The upstream's name of a public model."""
        return self.channel.model_map.get(model, model)


class RoutingTable:
    """(model, group) → channels by priority. Immutable: a change of channels makes a new one."""

    def __init__(self, channels: Iterable[Channel] = ()) -> None:
        tiers: dict[tuple[str, str], dict[int, list[Target]]] = {}
        for channel in channels:
            if not channel.enabled:
                continue
            target = Target(channel)
            for model in dict.fromkeys(channel.models):
                for group in dict.fromkeys(channel.groups):
                    tiers.setdefault((model, group), {}).setdefault(channel.priority, []).append(target)
        self._tiers: dict[tuple[str, str], list[list[Target]]] = {
            key: [by_priority[priority] for priority in sorted(by_priority, reverse=True)]
            for key, by_priority in tiers.items()
        }

    def serves(self, model: str, group: str) -> bool:
        """Whether any channel serves the model to the group."""
        return (model, group) in self._tiers

    def models(self, group: str) -> list[str]:
        """Models that have a channel for the group, by name."""
        return sorted(model for model, of_group in self._tiers if of_group == group)

    def choose(self, model: str, group: str, tried: Sequence[Target] = ()) -> Target | None:
        """The next channel: the highest priority that is left, weighted random among equals; None when all
        were tried. A weight of 0 is served only when no other of the same priority is left.
        """
        for tier in self._tiers.get((model, group), ()):
            left = [target for target in tier if target not in tried] if tried else tier
            if len(left) == 1:
                return left[0]
            if left:
                weights = [target.channel.weight for target in left]
                if not any(weights):
                    weights = [1] * len(left)
                return random.choices(left, weights)[0]  # noqa: S311  load sharing, not a secret
        return None
