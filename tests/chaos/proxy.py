"""TCP proxies between the services and PostgreSQL and NATS, on which a connection can be made to fail.

They run in a thread with an event loop of its own; what is done to a `Link` is called from any thread. On a
link to NATS whole messages are told apart (docs.nats.io, client protocol: PUB and HPUB), so that requests and
usage batches can be sent twice or in another order, which the services must take as if it were nothing.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from common.testing.server_process import LOCALHOST, free_port

READ_BYTES = 65_536
HOLD_BACK_S = 0.03
"""A message held back to be overtaken waits no longer than this for the one that overtakes it."""
Disorder = Literal["", "duplicate", "reorder"]
_PUBLISH = re.compile(rb"(?:H?PUB) (\S+) (?:.* )?(\d+)\r\n")
_ID = re.compile(rb"(Nats-Msg-Id: ?\S*)(\S)")
_TOUCHED = (b"intake.", b"rpc.")
"""What may be doubled or overtaken: the broker keeps the order of one connection, not of several."""


class Server(Protocol):
    """What is dialled; its port may be another one after a restart."""

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        ...


class Framer:
    """Splits what a NATS client sends into commands, a published message with its payload being one."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(subject, frame) of every command that is complete; the subject is empty but for publishes."""
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\r\n", start)) >= 0:
            end += 2
            match = _PUBLISH.fullmatch(self._buffer, start, end)
            if match is not None:
                end += int(match.group(2)) + 2
                if end > len(self._buffer):
                    break
            yield (match.group(1) if match else b""), self._buffer[start:end]
            start = end
        self._buffer = self._buffer[start:]


class Link:
    """The connections of a service to a server: `name` is `billing>nats`, `port` where it dials."""

    def __init__(self, name: str, target: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.port = free_port()
        self._target = target
        self._loop = loop
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._delay_s = 0.0
        self._disorder: Disorder = ""
        self._open: set[asyncio.StreamWriter] = set()
        self._carriers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.start_server(self._accept, LOCALHOST, self.port)

    async def end(self) -> None:
        """Drop every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        self._heal()
        self._drop()
        if self._carriers:
            await asyncio.wait(self._carriers)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn of the loop

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._cut)

    def freeze(self) -> None:
        """Keep the connections and carry nothing: the other side seems to think."""
        self._call(self._flowing.clear)

    def delay(self, delay_s: float) -> None:
        """Carry everything this much later."""
        self._call(lambda: setattr(self, "_delay_s", delay_s))

    def disorder(self, disorder: Disorder) -> None:
        """Send messages twice, or let each second one overtake the one before it."""
        self._call(lambda: setattr(self, "_disorder", disorder))

    def heal(self) -> None:
        """Carry everything as it comes."""
        self._call(self._heal)

    def _call(self, change: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(change)

    def _cut(self) -> None:
        self._refusing = True
        self._drop()

    def _drop(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def _heal(self) -> None:
        self._refusing = False
        self._delay_s = 0.0
        self._disorder = ""
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connect(reader, writer))
        self._carriers.add(task)
        task.add_done_callback(self._carriers.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(LOCALHOST, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._open |= both
        try:
            up = self._carry_commands if self.name.endswith(">nats") else self._carry
            pumps = {
                asyncio.create_task(up(reader, far_writer)),
                asyncio.create_task(self._carry(far_reader, writer)),
            }
            _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in rest:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._open -= both
            for end in both:
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await self._next(reader):
                writer.write(data)
                await writer.drain()

    async def _carry_commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer()
        held: list[bytes] = []

        def release() -> None:
            writer.writelines(held)
            held.clear()

        with contextlib.suppress(OSError):
            while data := await self._next(reader):
                for subject, frame in framer.feed(data):
                    touched = bool(self._disorder) and subject.startswith(_TOUCHED)
                    if touched and self._disorder == "reorder" and not held:
                        held.append(frame)
                        self._loop.call_later(HOLD_BACK_S, release)
                        continue
                    writer.write(frame)
                    if touched and self._disorder == "duplicate":
                        writer.write(_another_id(frame))
                    if touched:
                        release()
                await writer.drain()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(READ_BYTES)
        await self._flowing.wait()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return data


class Proxies:
    """All links, in their thread; entered and left as a context."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self.links: dict[str, Link] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, name: str, target: Server) -> Link:
        """A link that listens, and dials `target` whenever somebody dials it."""
        link = self.links[name] = Link(name, target, self._loop)
        asyncio.run_coroutine_threadsafe(link.listen(), self._loop).result()
        return link

    def stop(self) -> None:
        """Drop everything and end the thread."""
        for link in self.links.values():
            asyncio.run_coroutine_threadsafe(link.end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _another_id(frame: bytes) -> bytes:
    """The message under another `Nats-Msg-Id`, so that not the broker but the consumer must know it again."""
    return _ID.sub(lambda match: match.group(1) + (b"0" if match.group(2) != b"0" else b"1"), frame, count=1)
