"""The tables of devices and of guesses at their user codes."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from oauth.adapters.postgres.store import PostgresTransaction
from oauth.devices.domain.devices import FREE_GUESSES, GUESS_WINDOW, INTERVAL_S, KEEP, Device, Poll
from oauth.devices.domain.ports import Devices
from oauth.domain.ports import OAuthTransaction

_ADD = text(
    "INSERT INTO devices (digest, user_digest, app, scopes, details, created_at, expires_at, interval_s)"
    " VALUES (:digest, :user_digest, :app, :scopes, :details, :created_at, :expires_at, :interval_s)"
    " ON CONFLICT (user_digest) DO NOTHING"
)
_FIND_WAITING = text(
    "SELECT * FROM devices WHERE user_digest = :digest AND expires_at > :now"
    " AND family IS NULL AND denied_at IS NULL"
)
_DECIDE = text(
    "UPDATE devices SET family = CAST(:family AS uuid),"
    " denied_at = CASE WHEN CAST(:family AS uuid) IS NULL THEN CAST(:now AS timestamptz) END"
    " WHERE digest = :digest AND expires_at > :now AND family IS NULL AND denied_at IS NULL"
)
_POLL = text(
    "UPDATE devices SET polled_at = :now, interval_s = interval_s"
    " + CASE WHEN polled_at + interval_s * interval '1 second' > :now THEN CAST(:step AS integer) ELSE 0 END"
    " WHERE digest = :digest AND app = CAST(:app AS uuid)"
    " RETURNING new.*, new.interval_s > old.interval_s AS too_soon"
)
_TAKE = text(
    "DELETE FROM devices WHERE digest = :digest AND expires_at > :now AND family IS NOT NULL RETURNING family"
)
# A window begins with the first wrong guess; while it is full nothing is counted, so that it ends.
_COUNT_GUESS = text(
    "INSERT INTO device_guesses AS g (user_id, wrong, since) VALUES (CAST(:user AS uuid), 1, :now)"
    " ON CONFLICT (user_id) DO UPDATE SET"
    " wrong = CASE WHEN g.since <= :before THEN 1 ELSE g.wrong + 1 END,"
    " since = CASE WHEN g.since <= :before THEN EXCLUDED.since ELSE g.since END"
    " WHERE g.since <= :before OR g.wrong < :free"
)
_SINCE = text("SELECT since FROM device_guesses WHERE user_id = CAST(:user AS uuid)")
_FORGIVE = text(
    "UPDATE device_guesses SET wrong = wrong - 1 WHERE user_id = CAST(:user AS uuid) AND wrong > 0"
)
_PRUNE = (
    text("DELETE FROM devices WHERE expires_at < :before"),
    text("DELETE FROM device_guesses WHERE since < :before"),
)


class PostgresDevices:
    """See the Devices port."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, device: Device) -> bool:
        """The index on user codes decides between two at once."""
        values: dict[str, object] = {
            "digest": device.digest,
            "user_digest": device.user_digest,
            "app": device.app,
            "scopes": list(device.scopes),
            "details": device.details,
        }
        values |= {"created_at": device.created_at, "expires_at": device.expires_at}
        result = await self._connection.execute(_ADD, values | {"interval_s": device.interval_s})
        return result.rowcount == 1

    async def find_waiting(self, user_digest: bytes, now: datetime) -> Device | None:
        """By user code."""
        row = (
            await self._connection.execute(_FIND_WAITING, {"digest": user_digest, "now": now})
        ).one_or_none()
        return None if row is None else _device(row)

    async def decide(self, digest: bytes, family: str | None, now: datetime) -> bool:
        """One statement, so that of two decisions the first counts."""
        values = {"digest": digest, "family": family, "now": now}
        return (await self._connection.execute(_DECIDE, values)).rowcount == 1

    async def poll(self, digest: bytes, app: str, now: datetime) -> Poll | None:
        """One statement; another app's device is none."""
        values = {"digest": digest, "app": app, "now": now, "step": INTERVAL_S}
        row = (await self._connection.execute(_POLL, values)).one_or_none()
        return None if row is None else Poll(_device(row), row.too_soon)

    async def take(self, digest: bytes, now: datetime) -> str | None:
        """One statement, so that of many at once one gets it."""
        row = (await self._connection.execute(_TAKE, {"digest": digest, "now": now})).one_or_none()
        return None if row is None else str(row.family)

    async def count_guess(self, user: str, now: datetime) -> datetime | None:
        """Holds the person's row until the end, so that many guesses at once are no way around the count."""
        values = {"user": user, "now": now, "before": now - GUESS_WINDOW, "free": FREE_GUESSES}
        if (await self._connection.execute(_COUNT_GUESS, values)).rowcount == 1:
            return None
        since: datetime = (await self._connection.execute(_SINCE, {"user": user})).scalar_one()
        return since + GUESS_WINDOW

    async def forgive_guess(self, user: str) -> None:
        """Take one back."""
        await self._connection.execute(_FORGIVE, {"user": user})

    async def prune(self, now: datetime) -> None:
        """Served by devices_expiry and device_guesses_since."""
        for statement in _PRUNE:
            await self._connection.execute(statement, {"before": now - KEEP})


def devices_in(work: OAuthTransaction) -> Devices:
    """On the connection of the transaction."""
    return PostgresDevices(cast("PostgresTransaction", work).connection)


def _device(row: Any) -> Device:
    return Device(
        digest=bytes(row.digest),
        user_digest=bytes(row.user_digest),
        app=str(row.app),
        scopes=tuple(row.scopes),
        details=row.details,
        created_at=row.created_at,
        expires_at=row.expires_at,
        interval_s=row.interval_s,
        family=None if row.family is None else str(row.family),
        denied_at=row.denied_at,
    )
