"""Channels in PostgreSQL; keys enter and leave only through the vault."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_relay.adapters.vault import KeyVault
from chat_relay.domain.channels import Channel, ChannelExistsError, ChannelNotFoundError
from chat_relay.domain.costs import ModelCost
from common.kit.db import Database

_FIELDS = (
    "name, kind, base_url, models, model_map, priority, weight, groups, enabled, api_keys_encrypted,"
    " cost_rate_micro, costs"
)
_PAGE = text(f"SELECT {_FIELDS} FROM channels WHERE name > :after ORDER BY name LIMIT :limit")  # noqa: S608
_ALL = text(f"SELECT {_FIELDS} FROM channels ORDER BY name")  # noqa: S608
_LOCK = text(f"SELECT {_FIELDS} FROM channels WHERE name = :name FOR UPDATE")  # noqa: S608
_INSERT_TEXT = (
    f"INSERT INTO channels ({_FIELDS}) VALUES (:name, :kind, :base_url, :models, CAST(:model_map AS jsonb),"  # noqa: S608
    " :priority, :weight, :groups, :enabled, :api_keys_encrypted, :cost_rate_micro, CAST(:costs AS jsonb))"
)
_INSERT = text(_INSERT_TEXT)
_UPSERT = text(
    _INSERT_TEXT + " ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, base_url = excluded.base_url,"
    " models = excluded.models, model_map = excluded.model_map, priority = excluded.priority,"
    " weight = excluded.weight, groups = excluded.groups, enabled = excluded.enabled,"
    " api_keys_encrypted = excluded.api_keys_encrypted, cost_rate_micro = excluded.cost_rate_micro,"
    " costs = excluded.costs, changed_at = now()"
)
_DELETE = text("DELETE FROM channels WHERE name = :name")


class PostgresChannels:
    """See `ChannelStore`."""

    def __init__(self, database: Database, vault: KeyVault) -> None:
        self._database = database
        self._vault = vault

    async def all(self) -> Sequence[Channel]:
        """See `ChannelStore.all`."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_ALL)).mappings().all()
        return [self._channel(row) for row in rows]

    async def page(self, after: str, limit: int) -> Sequence[Channel]:
        """See `ChannelStore.page`."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(_PAGE, {"after": after, "limit": limit})).mappings().all()
        return [self._channel(row) for row in rows]

    async def add(self, channel: Channel) -> None:
        """See `ChannelStore.add`."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_INSERT, self._row(channel))
        except IntegrityError:
            raise ChannelExistsError(f"A channel named '{channel.name}' exists.", param="name") from None

    async def change(self, name: str, change: Callable[[Channel], Channel]) -> Channel:
        """See `ChannelStore.change`."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_LOCK, {"name": name})).mappings().first()
            if row is None:
                raise ChannelNotFoundError(f"No channel is named '{name}'.")
            channel = change(self._channel(row))
            await connection.execute(_UPSERT, self._row(channel))
        return channel

    async def put(self, channels: Sequence[Channel]) -> int:
        """See `ChannelStore.put`. Rows are locked in the order of names, so that replicas that start together
        do not wait for each other in a circle.
        """
        async with self._database.transaction() as connection:
            changed = 0
            for channel in sorted(channels, key=lambda channel: channel.name):
                if await self._stored(connection, channel.name) != channel:
                    await connection.execute(_UPSERT, self._row(channel))
                    changed += 1
        return changed

    async def remove(self, name: str) -> None:
        """See `ChannelStore.remove`."""
        async with self._database.transaction() as connection:
            result = await connection.execute(_DELETE, {"name": name})
            if result.rowcount == 0:
                raise ChannelNotFoundError(f"No channel is named '{name}'.")

    async def _stored(self, connection: AsyncConnection, name: str) -> Channel | None:
        row = (await connection.execute(_LOCK, {"name": name})).mappings().first()
        return self._channel(row) if row is not None else None

    def _channel(self, row: RowMapping) -> Channel:
        return Channel(
            name=row["name"],
            kind=row["kind"],
            base_url=row["base_url"],
            models=tuple(row["models"]),
            model_map=row["model_map"],
            priority=row["priority"],
            weight=row["weight"],
            groups=tuple(row["groups"]),
            enabled=row["enabled"],
            api_keys=self._vault.open(row["name"], row["api_keys_encrypted"]),
            cost_rate_micro=row["cost_rate_micro"],
            costs=msgspec.convert(row["costs"], tuple[ModelCost, ...]),
        )

    def _row(self, channel: Channel) -> dict[str, Any]:
        return {
            "name": channel.name,
            "kind": channel.kind,
            "base_url": channel.base_url,
            "models": list(channel.models),
            "model_map": json.dumps(channel.model_map),
            "priority": channel.priority,
            "weight": channel.weight,
            "groups": list(channel.groups),
            "enabled": channel.enabled,
            "api_keys_encrypted": self._vault.seal(channel.name, channel.api_keys),
            "cost_rate_micro": channel.cost_rate_micro,
            "costs": json.dumps([msgspec.structs.asdict(cost) for cost in channel.costs]),
        }
