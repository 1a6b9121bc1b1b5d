"""The table of apps' webhooks, secrets sealed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from common.contracts.errors import NotFoundError
from common.kit.db import Database
from common.webhooks.signatures import Secret
from oauth.adapters.postgres.store import as_unavailable
from oauth.adapters.vault import Vault
from oauth.charges.domain.webhooks import Webhook

_PUT = """
INSERT INTO app_webhooks (app, url, secrets, enabled, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (app) DO UPDATE SET url = EXCLUDED.url, enabled = EXCLUDED.enabled, disabled_reason = '',
    failing_since = CASE WHEN EXCLUDED.enabled AND NOT app_webhooks.enabled THEN NULL
                         ELSE app_webhooks.failing_since END
RETURNING xmax = 0
"""
_FIND = """
SELECT app::text, url, enabled, disabled_reason, failing_since, created_at FROM app_webhooks WHERE app = $1
"""
_SECRETS = "SELECT secrets FROM app_webhooks WHERE app = $1"
_CHANGE_SECRETS = "UPDATE app_webhooks SET secrets = $2 WHERE app = $1"
_REMOVE = "DELETE FROM app_webhooks WHERE app = $1"
_DISABLE = "UPDATE app_webhooks SET enabled = false, disabled_reason = $2 WHERE app = $1"
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Secret])


class SecretBox:
    """Secrets as they are stored: of one app, so that they open in no other's row."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, app: str, secrets: Sequence[Secret]) -> bytes:
        """Sealed."""
        return self._vault.seal(app, _ENCODER.encode(secrets))

    def open(self, app: str, sealed: bytes) -> list[Secret]:
        """As they were sealed; VaultError."""
        return _DECODER.decode(self._vault.open(app, sealed))


class PostgresWebhooks:
    """See the WebhookStore port."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def put(self, webhook: Webhook, secret: Secret) -> bool:
        """One statement: `xmax` tells a row that was inserted from one that was changed."""
        sealed = self._box.seal(webhook.app, [secret])
        async with self._driver() as driver:
            values = (webhook.app, webhook.url, sealed, webhook.enabled, webhook.created_at)
            return bool(await driver.fetchval(_PUT, *values))

    async def find(self, app: str) -> Webhook | None:
        """By its app."""
        async with self._driver() as driver:
            row = await driver.fetchrow(_FIND, app)
        return None if row is None else Webhook(*row)

    async def secrets(self, app: str) -> list[Secret]:
        """See the port."""
        async with self._driver() as driver:
            sealed = await driver.fetchval(_SECRETS, app)
        if sealed is None:
            raise NotFoundError("The app has no webhook.")
        return self._box.open(app, sealed)

    async def change_secrets(self, app: str, secrets: Sequence[Secret]) -> None:
        """See the port."""
        async with self._driver() as driver:
            await driver.execute(_CHANGE_SECRETS, app, self._box.seal(app, secrets))

    async def remove(self, app: str) -> None:
        """Deliveries go with it."""
        async with self._driver() as driver:
            await driver.execute(_REMOVE, app)

    async def disable(self, app: str, reason: str) -> None:
        """See the port."""
        async with self._driver() as driver:
            await driver.execute(_DISABLE, app, reason)

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._database.driver_transaction() as driver:
                yield driver
        except Exception as error:
            raise as_unavailable(error) from error
