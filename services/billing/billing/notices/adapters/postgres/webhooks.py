"""Webhook endpoints in PostgreSQL, secrets sealed. Lists go by index (account, id) or the primary key."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from billing.notices.adapters.vault import SecretVault
from billing.notices.domain.webhooks import Endpoint
from common.contracts.errors import NotFoundError
from common.kit.db import Database
from common.webhooks.signatures import Secret

COLUMNS = (
    "e.id::text, e.account::text, e.url, e.patterns, e.description, e.everybody, e.enabled,"
    " e.disabled_reason, e.failing_since, e.created_at, e.secrets"
)
"""Of `webhook_endpoints AS e`; the secrets last."""
_COUNT = text("SELECT count(*) FROM webhook_endpoints WHERE account = CAST(:account AS uuid)")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || :account, 0))")
_INSERT = text(
    "INSERT INTO webhook_endpoints (id, account, url, patterns, description, everybody, enabled, secrets,"
    " since_position, created_at) SELECT CAST(:id AS uuid), CAST(:account AS uuid), :url,"
    " CAST(:patterns AS text[]), :description, :everybody, :enabled, :secrets, last_value, :created_at"
    " FROM transfers_position_seq"
)
_OWN = text(
    f"SELECT {COLUMNS} FROM webhook_endpoints AS e WHERE e.account = CAST(:account AS uuid)"  # noqa: S608
    " AND e.id > CAST(:after AS uuid) ORDER BY e.id LIMIT :limit"
)
_ALL = text(
    f"SELECT {COLUMNS} FROM webhook_endpoints AS e"  # noqa: S608
    " WHERE e.id > CAST(:after AS uuid) ORDER BY e.id LIMIT :limit"
)
_ONE = text(f"SELECT {COLUMNS} FROM webhook_endpoints AS e WHERE e.id = CAST(:id AS uuid)")  # noqa: S608
_CHANGE = text(
    "UPDATE webhook_endpoints SET url = :url, patterns = CAST(:patterns AS text[]),"
    " description = :description, enabled = :enabled, disabled_reason = :disabled_reason,"
    " failing_since = CASE WHEN :enabled AND NOT enabled THEN NULL ELSE failing_since END"
    " WHERE id = CAST(:id AS uuid)"
)
_CHANGE_SECRETS = text("UPDATE webhook_endpoints SET secrets = :secrets WHERE id = CAST(:id AS uuid)")
_REMOVE = text("DELETE FROM webhook_endpoints WHERE id = CAST(:id AS uuid)")


class PostgresWebhooks:
    """See domain.ports.EndpointStore."""

    def __init__(self, database: Database, vault: SecretVault) -> None:
        self._database = database
        self._vault = vault

    async def add(self, endpoint: Endpoint, secrets: Sequence[Secret], limit: int) -> bool:
        """See the port; two at once of one account wait for each other, so that none slips over the limit."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, {"account": endpoint.account})
            if int(await connection.scalar(_COUNT, {"account": endpoint.account})) >= limit:
                return False
            await connection.execute(
                _INSERT,
                {
                    "id": endpoint.id,
                    "account": endpoint.account,
                    "url": endpoint.url,
                    "patterns": list(endpoint.patterns),
                    "description": endpoint.description,
                    "everybody": endpoint.everybody,
                    "enabled": endpoint.enabled,
                    "secrets": self._vault.seal(endpoint.id, secrets),
                    "created_at": endpoint.created_at,
                },
            )
        return True

    async def page(self, account: str | None, after: str, limit: int) -> list[Endpoint]:
        """See the port."""
        query = {"account": account, "after": after, "limit": limit}
        if account is None:
            query.pop("account")
        async with self._database.transaction() as connection:
            rows = await connection.execute(_ALL if account is None else _OWN, query)
            return [endpoint_of(row) for row in rows]

    async def find(self, id_: str) -> Endpoint | None:
        """See the port."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"id": id_})).first()
        return None if row is None else endpoint_of(row)

    async def secrets(self, id_: str) -> list[Secret]:
        """See the port."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_ONE, {"id": id_})).first()
        if row is None:
            raise NotFoundError("There is no such webhook.")
        return self._vault.open(id_, row.secrets)

    async def change(self, endpoint: Endpoint) -> None:
        """See the port."""
        async with self._database.transaction() as connection:
            await connection.execute(
                _CHANGE,
                {
                    "id": endpoint.id,
                    "url": endpoint.url,
                    "patterns": list(endpoint.patterns),
                    "description": endpoint.description,
                    "enabled": endpoint.enabled,
                    "disabled_reason": "" if endpoint.enabled else endpoint.disabled_reason,
                },
            )

    async def change_secrets(self, id_: str, secrets: Sequence[Secret]) -> None:
        """See the port."""
        sealed = self._vault.seal(id_, secrets)
        async with self._database.transaction() as connection:
            await connection.execute(_CHANGE_SECRETS, {"id": id_, "secrets": sealed})

    async def remove(self, id_: str) -> None:
        """See the port."""
        async with self._database.transaction() as connection:
            await connection.execute(_REMOVE, {"id": id_})


def endpoint_of(row: Any) -> Endpoint:
    """A row that begins with COLUMNS; what follows is not the endpoint's own."""
    fields = dict(zip(Endpoint.__struct_fields__, row, strict=False))
    return Endpoint(**fields | {"patterns": tuple(row.patterns)})
