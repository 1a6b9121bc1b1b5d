"""/api/channels: upstream accounts, for admins. Keys go in and never come out."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from chat_relay.domain.channels import Channel
from chat_relay.domain.costs import cost_from_spec, rate_from_text, spec_fields
from chat_relay.usecases.channels import Channels
from common.contracts.bootstrap import UnitPricesSpec
from common.kit.money import format_rate
from common.kit.principal import PRINCIPAL_HEADER, PrincipalSigner

PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]
_VISIBLE = 4
_MIN_SHOWN_KEY = 12
_HEADER = PRINCIPAL_HEADER.decode()


class ModelCostSpec(UnitPricesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the upstream takes for a model, which may end with `*`."""

    model: str


class ChannelCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new channel; `api_key` is one key or a list.

    `cost_rate` is what the upstream takes of the list price; `costs` are its own prices, which win.
    """

    name: str
    kind: str
    base_url: str
    models: tuple[str, ...]
    api_key: str | tuple[str, ...] = ()
    model_map: dict[str, str] = {}
    priority: int = 0
    weight: int = 1
    groups: tuple[str, ...] = ("default",)
    enabled: bool = True
    cost_rate: str | None = None
    costs: tuple[ModelCostSpec, ...] = ()


class ChannelPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Only what changes; `api_key` replaces all keys."""

    kind: str | msgspec.UnsetType = msgspec.UNSET
    base_url: str | msgspec.UnsetType = msgspec.UNSET
    models: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    api_key: str | tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    model_map: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET
    weight: int | msgspec.UnsetType = msgspec.UNSET
    groups: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    cost_rate: str | msgspec.UnsetType | None = msgspec.UNSET
    costs: tuple[ModelCostSpec, ...] | msgspec.UnsetType = msgspec.UNSET


class ChannelView(msgspec.Struct, frozen=True):
    """What may be seen of a channel: of its keys the number and, of long ones, the last four characters."""

    name: str
    kind: str
    base_url: str
    models: tuple[str, ...]
    model_map: dict[str, str]
    priority: int
    weight: int
    groups: tuple[str, ...]
    enabled: bool
    key_count: int
    key_endings: tuple[str, ...]
    cost_rate: str | None
    costs: tuple[dict[str, str], ...]


class ChannelPage(msgspec.Struct, frozen=True):
    """A page of channels; `next` goes into `after` for the following one."""

    data: list[ChannelView]
    next: str | None


def require_admin(connection: ASGIConnection, _handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Guard: a valid principal with the scope `admin`."""
    signer: PrincipalSigner = connection.app.state.signer
    signer.verify(connection.headers.get(_HEADER, "").encode("latin-1")).require_admin()


class ChannelController(Controller):
    """The channel table."""

    path = "/api/channels"
    guards = (require_admin,)

    @get()
    async def list_some(
        self,
        channels: NamedDependency[Channels],
        limit: PageLimit = 50,
        after: FromQuery[str] = "",
    ) -> ChannelPage:
        """By name."""
        page = await channels.list_channels(after, limit + 1)
        views = [_view(channel) for channel in page[:limit]]
        return ChannelPage(views, views[-1].name if len(page) > limit else None)

    @post()
    async def create(self, data: JSONBody[ChannelCreate], channels: NamedDependency[Channels]) -> ChannelView:
        """In force on every replica at once."""
        channel = Channel(**_fields(msgspec.structs.asdict(data)))
        await channels.add_channel(channel)
        return _view(channel)

    @patch("/{name:str}")
    async def change(
        self, name: FromPath[str], data: JSONBody[ChannelPatch], channels: NamedDependency[Channels]
    ) -> ChannelView:
        """In force on every replica at once."""
        given = _fields(
            {key: value for key, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
        )
        return _view(
            await channels.change_channel(name, lambda channel: msgspec.structs.replace(channel, **given))
        )

    @delete("/{name:str}")
    async def remove(self, name: FromPath[str], channels: NamedDependency[Channels]) -> None:
        """Requests under way finish."""
        await channels.remove_channel(name)


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    if "api_key" in given:
        keys = given.pop("api_key")
        given["api_keys"] = (keys,) if isinstance(keys, str) else keys
    if "cost_rate" in given:
        given["cost_rate_micro"] = rate_from_text(given.pop("cost_rate"))
    if "costs" in given:
        given["costs"] = tuple(cost_from_spec(cost.model, cost) for cost in given["costs"])
    return given


def _view(channel: Channel) -> ChannelView:
    return ChannelView(
        name=channel.name,
        kind=channel.kind,
        base_url=channel.base_url,
        models=channel.models,
        model_map=channel.model_map,
        priority=channel.priority,
        weight=channel.weight,
        groups=channel.groups,
        enabled=channel.enabled,
        key_count=len(channel.api_keys),
        key_endings=tuple(key[-_VISIBLE:] if len(key) >= _MIN_SHOWN_KEY else "" for key in channel.api_keys),
        cost_rate=None if channel.cost_rate_micro is None else format_rate(channel.cost_rate_micro),
        costs=tuple(spec_fields(cost) for cost in channel.costs),
    )
