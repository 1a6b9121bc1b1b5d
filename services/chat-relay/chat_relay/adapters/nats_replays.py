"""Answers remembered in NATS KV: bucket REPLAYS, for a day."""

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from chat_relay.domain.replays import MAX_BODY_BYTES, Remembered
from common.contracts.errors import UnavailableError
from common.kit.bus import Bus

BUCKET = "REPLAYS"
_DAY_S = 86_400
_MAX_HEADERS_BYTES = 48 * 1024


class NatsReplays:
    """See `ReplayStore`. The bucket is made when it is first needed."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket: KeyValue | None = None
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Remembered)

    async def claim(self, name: str, first: Remembered) -> int | None:
        """See `ReplayStore.claim`."""
        try:
            return await (await self._open()).create(name, self._encoder.encode(first))
        except KeyWrongLastSequenceError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise _away() from error

    async def find(self, name: str) -> tuple[Remembered, int] | None:
        """See `ReplayStore.find`."""
        try:
            entry = await (await self._open()).get(name)
        except KeyNotFoundError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise _away() from error
        return self._decoder.decode(entry.value or b""), entry.revision or 0

    async def replace(self, name: str, answer: Remembered, revision: int) -> int | None:
        """See `ReplayStore.replace`."""
        try:
            return await (await self._open()).update(name, self._encoder.encode(answer), last=revision)
        except KeyWrongLastSequenceError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise _away() from error

    async def forget(self, name: str, revision: int) -> None:
        """See `ReplayStore.forget`."""
        try:
            await (await self._open()).delete(name, last=revision)
        except KeyWrongLastSequenceError:
            return
        except (NatsError, TimeoutError, OSError) as error:
            raise _away() from error

    async def _open(self) -> KeyValue:
        if not self._bus.client.is_connected:
            raise _away()
        if self._bucket is None:
            try:
                self._bucket = await self._bus.jetstream.key_value(BUCKET)
            except BucketNotFoundError:
                self._bucket = await self._bus.jetstream.create_key_value(
                    KeyValueConfig(
                        bucket=BUCKET,
                        ttl=_DAY_S,
                        max_value_size=MAX_BODY_BYTES + _MAX_HEADERS_BYTES,
                        storage=StorageType.FILE,
                    )
                )
        return self._bucket


def _away() -> UnavailableError:
    return UnavailableError(
        "Requests with an Idempotency-Key cannot be taken for the moment.", retry_after_s=2
    )
