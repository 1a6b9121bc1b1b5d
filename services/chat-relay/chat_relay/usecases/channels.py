"""Channels: keep them, tell the other replicas, and route by them."""

import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from chat_relay.domain.channels import MEDIA_KINDS, Channel, RoutingTable, check_channel
from chat_relay.domain.costs import cost_from_spec, rate_from_text
from chat_relay.domain.ports import ChannelNotices, ChannelStore
from common.contracts.bootstrap import ChannelSpec, CostSpec
from common.contracts.errors import InvalidRequestError

_LOG = logging.getLogger(__name__)


class Channels:
    """The channel table of the suite and this replica's routes. `table` is replaced whole on a change."""

    def __init__(self, store: ChannelStore, notices: ChannelNotices) -> None:
        self._store = store
        self._notices = notices
        self.table = RoutingTable()
        self._known: Sequence[Channel] = ()

    async def reload(self) -> None:
        """Read the table; routes change only if it did."""
        channels = list(await self._store.all())
        if channels != self._known:
            self.table = RoutingTable(channels)
            self._known = channels
            _LOG.info("%d channels loaded", len(channels))

    async def list_channels(self, after: str, limit: int) -> Sequence[Channel]:
        """A page of channels by name."""
        return await self._store.page(after, limit)

    async def add_channel(self, channel: Channel) -> None:
        """Raises InvalidRequestError or ChannelExistsError."""
        await self._store.add(check_channel(channel))
        await self._changed()

    async def change_channel(self, name: str, change: Callable[[Channel], Channel]) -> Channel:
        """The channel as changed; raises InvalidRequestError or ChannelNotFoundError."""
        channel = await self._store.change(name, lambda old: check_channel(change(old)))
        await self._changed()
        return channel

    async def remove_channel(self, name: str) -> None:
        """Raises ChannelNotFoundError."""
        await self._store.remove(name)
        await self._changed()

    async def put_channels(self, channels: Sequence[Channel]) -> None:
        """Make these channels be exactly so; others stay."""
        if channels and await self._store.put(channels):
            await self._changed()

    async def _changed(self) -> None:
        await self.reload()
        await self._notices.channels_changed()


def channels_from(specs: Sequence[ChannelSpec], costs: Sequence[CostSpec] = ()) -> list[Channel]:
    """The bootstrap file's channels; kinds of other services are passed over. Raises InvalidRequestError."""
    names = {spec.name for spec in specs}
    for cost in costs:
        if cost.channel not in names:
            raise InvalidRequestError(f"costs: no channel is named '{cost.channel}'.", param="costs")
    return [check_channel(_from_spec(spec, costs)) for spec in specs if spec.kind not in MEDIA_KINDS]


def _from_spec(spec: ChannelSpec, costs: Iterable[CostSpec]) -> Channel:
    fields = msgspec.structs.asdict(spec)
    key = fields.pop("api_key")
    return Channel(
        api_keys=(key,) if isinstance(key, str) else tuple(key),
        cost_rate_micro=rate_from_text(fields.pop("cost_rate")),
        costs=tuple(cost_from_spec(cost.model, cost) for cost in costs if cost.channel == spec.name),
        **fields,
    )
