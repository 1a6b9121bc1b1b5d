"""NATS behind the ports: books in key-value buckets, and how far the usage stream is applied."""

import hashlib
import logging
from typing import Generic, TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import StorageType
from nats.js.errors import (
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
)
from nats.js.kv import KeyValue

from billing.domain.ports import AccountFinder
from common.contracts.errors import UnavailableError
from common.contracts.identity import USER_LOOKUP, UserLookup
from common.contracts.streams import Stream
from common.kit.bus import Bus
from common.kit.rpc import RpcClient

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
MAX_BOOK_BYTES = 1_000_000
"""What NATS carries in one message by default."""


class NatsShelf(Generic[T]):
    """One book of type `kind`, in MessagePack, where every service finds it (see domain.ports.PriceShelf)."""

    def __init__(self, bus: Bus, bucket: str, key: str, kind: type[T], replicas: int = 1) -> None:
        self._bus = bus
        self._name = bucket
        self._key = key
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._replicas = replicas

    async def read(self) -> tuple[T | None, int]:
        """The book that lies there and its revision; (None, 0) when none does."""
        try:
            bucket = await self._bucket()
            entry = await bucket.get(self._key)
        except (KeyNotFoundError, NoKeysError):
            return None, 0
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError(f"The bucket {self._name} is away.") from error
        try:
            book = self._decoder.decode(entry.value or b"")
        except msgspec.DecodeError:
            return None, entry.revision or 0
        return book, entry.revision or 0

    async def replace(self, book: T, revision: int) -> bool:
        """Put the book if the bucket is still at `revision`; False when somebody else was faster."""
        data = msgspec.msgpack.encode(book)
        if len(data) > MAX_BOOK_BYTES:
            raise UnavailableError(f"{self._name}: {len(data)} bytes are more than one message carries.")
        try:
            bucket = await self._bucket()
            await bucket.update(self._key, data, last=revision)
        except KeyWrongLastSequenceError:
            return False
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError(f"The bucket {self._name} is away.") from error
        return True

    async def _bucket(self) -> KeyValue:
        try:
            return await self._bus.jetstream.key_value(self._name)
        except BucketNotFoundError:
            return await self._bus.jetstream.create_key_value(
                bucket=self._name, history=1, storage=StorageType.FILE, replicas=self._replicas
            )


class NatsUsageBacklog:
    """How far billing's consumer has come in the intake stream (see domain.ports.UsageBacklog)."""

    def __init__(self, bus: Bus, stream: Stream, durable: str) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable

    async def last(self) -> int:
        """The stream's last sequence now; UnavailableError when it cannot be asked."""
        try:
            info = await self._bus.jetstream.stream_info(self._stream.name)
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError("The usage stream cannot be asked.") from error
        return info.state.last_seq

    async def applied(self, sequence: int) -> bool:
        """Whether everything up to `sequence` is charged; UnavailableError when it cannot be asked."""
        try:
            info = await self._bus.jetstream.consumer_info(self._stream.name, self._durable)
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError("The usage consumer cannot be asked.") from error
        floor = 0 if info.ack_floor is None else info.ack_floor.stream_seq
        return floor >= sequence or (not info.num_pending and not info.num_ack_pending)


class NatsDeadLetters:
    """See domain.ports.DeadLetters: `dlq.<stream>.<durable>`, where the consumer buries messages too."""

    def __init__(self, bus: Bus, stream: Stream, durable: str) -> None:
        self._bus = bus
        self._subject = f"dlq.{stream.name}.{durable}"

    async def bury(self, payload: bytes, reason: str) -> None:
        """Keep the payload; repeated burials of the same payload are kept once within the stream's window."""
        headers = {
            "tollway-error": reason.encode("ascii", "replace").decode()[:500],
            "Nats-Msg-Id": hashlib.sha256(payload).hexdigest(),
        }
        await self._bus.publish(self._subject, payload, headers)


def account_finder(rpc: RpcClient) -> AccountFinder:
    """Ask the gateway, which owns the users."""

    async def find_account(email: str) -> str:
        found = await rpc.call(USER_LOOKUP, UserLookup(email))
        return found.account

    return find_account
