"""Server-sent events of a chat stream: what may be passed on, and what they tell about usage and the end.

Frames that read exactly `data: {json}` and a blank line pass byte for byte. Comments, `id:`, `event:` and
empty events break clients in the field and are dropped; other spellings of a data line are rewritten to that
form. A frame is decoded only when its bytes show that it has usage or an error. Memory does not grow with the
stream.
"""

import re
from typing import Any

import msgspec

from chat_relay.domain.errors import UpstreamGoneError
from chat_relay.domain.estimates import frame_text, text_tokens
from chat_relay.domain.metering import Usage

MAX_FRAME_BYTES = 2**20
DONE = b"data: [DONE]\n\n"

_OPEN = b"data: {"
_CLOSE = b"}\n\n"
_SEAM = b"}\n\ndata: {"
_HAS_USAGE = b'"prompt_tokens"'
_ERROR = b'\ndata: {"error"'
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')
_FRAME = re.compile(rb".*?\r?\n\r?\n", re.DOTALL)
_SAMPLE_BYTES = 2_048


class _Chunk(msgspec.Struct):
    choices: list[Any] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_USAGE_OBJECT = msgspec.json.Decoder(Usage)


class ChatFrames:
    """One stream. `keep_usage`: the client asked for the usage chunk. `choices`: how many it asked for."""

    __slots__ = (
        "_choices",
        "_keep_usage",
        "_last",
        "_overhead_bytes",
        "_previous",
        "_sample",
        "_sampled",
        "_tail",
        "_tail_bytes",
        "_textless",
        "_tokens_per_kib",
        "delivered_bytes",
        "done",
        "failed",
        "frames",
        "usage",
    )

    def __init__(self, *, keep_usage: bool, choices: int = 1) -> None:
        self._keep_usage = keep_usage
        self._choices = choices
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._last = b""
        self._previous = b""
        self._sample: list[bytes] = []
        self._sampled = 0
        self._overhead_bytes = 0
        self._tokens_per_kib = 256
        self._textless = 0
        self.frames = 0
        self.delivered_bytes = 0
        self.usage: Usage | None = None
        self.done = False
        """`[DONE]` came; the caller feeds no more."""
        self.failed = False
        """The upstream sent an error in band; it was passed on and the caller feeds no more."""

    def feed(self, data: bytes) -> bytes:
        """The bytes that may be delivered now. Raises UpstreamGoneError when the stream is no SSE of JSON,
        or a frame is longer than `MAX_FRAME_BYTES`.
        """
        if self._tail:
            self._tail.append(data)
            self._tail_bytes += len(data)
            if b"\n" not in data:
                return self._hold()
            data = b"".join(self._tail)
            self._tail = []
        if data[:7] == _OPEN and data[-3:] == _CLOSE and data.rfind(_HAS_USAGE) < 0:
            frames = 1 if data.find(b"\n") == len(data) - 2 else self._clean_frames(data)
            if frames and data[7:14] != b'"error"':
                if self._sampled < _SAMPLE_BYTES:
                    self._count(data, frames)
                else:  # the same without the sample and without a call
                    self.frames += frames
                    self.delivered_bytes += len(data)
                    self._previous = self._last
                    self._last = data
                return data
        return self._feed_mixed(data)

    def _feed_mixed(self, data: bytes) -> bytes:
        """As many clean frames as stand before the first that must be looked at, then the rest one by one."""
        end = data.rfind(_CLOSE) + len(_CLOSE)
        usage = data.find(_HAS_USAGE, 0, end)
        if usage >= 0:
            end = data.rfind(b"\n\n", 0, usage) + 2
        clean = data[:end] if end > len(_CLOSE) else b""
        frames = self._clean_frames(clean) if clean[:7] == _OPEN and clean[-3:] == _CLOSE else 0
        if not frames or clean[7:14] == b'"error"':
            return self._feed_slowly(data)
        self._count(clean, frames)
        return clean + self._feed_slowly(data[end:])

    @staticmethod
    def _clean_frames(data: bytes) -> int:
        """How many plain frames `data` is; 0 when it holds anything else, or an error."""
        frames = data.count(_SEAM) + 1
        return frames if data.count(b"\n") == 2 * frames and _ERROR not in data else 0

    def finish(self) -> bytes:
        """What is left at the upstream's end: a last frame without its blank line passes if it is whole."""
        rest = b"".join(self._tail).strip()
        self._tail = []
        if not rest:
            return b""
        payload = rest.rpartition(b"data:")[2].strip()
        try:
            if payload != b"[DONE]":
                msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamGoneError("The upstream's last frame is cut.") from None
        return self._feed_slowly(rest + b"\n\n")

    @property
    def complete(self) -> bool:
        """Whether the answer reached its end, `[DONE]` or not: usage came, or all choices finished."""
        if self.done or (self.usage is not None and not self.failed):
            return True
        return len(_FINISH.findall(self._previous + self._last)) >= self._choices and not self.failed

    def output_tokens(self) -> int:
        """Estimated tokens delivered: the bytes passed on, less the envelope of each frame as learnt from
        the first frames and the last. A frame with text is at least one token: OpenAI pads its frames
        (`obfuscation`) so that their length says nothing of the text.
        """
        self._learn()
        text_bytes = max(0, self.delivered_bytes - self.frames * self._overhead_bytes)
        return max(-(-text_bytes * self._tokens_per_kib // 1024), self.frames - self._textless)

    def _count(self, block: bytes, frames: int) -> None:
        self.frames += frames
        self.delivered_bytes += len(block)
        self._previous = self._last
        self._last = block
        if self._sampled < _SAMPLE_BYTES:
            self._sample.append(block)
            self._sampled += len(block)

    def _feed_slowly(self, data: bytes) -> bytes:
        out: list[bytes] = []
        end = 0
        for match in _FRAME.finditer(data):
            end = match.end()
            if self.done or self.failed:
                return b"".join(out)
            out.append(self._one(match.group()))
        self._tail_bytes = len(data) - end
        if self._tail_bytes:
            self._tail = [data[end:]]
            self._hold()
        return b"".join(out)

    def _hold(self) -> bytes:
        if self._tail_bytes > MAX_FRAME_BYTES:
            raise UpstreamGoneError("The upstream sent a frame that is too long.")
        return b""

    def _one(self, frame: bytes) -> bytes:
        lines = [line[5:].strip() for line in frame.splitlines() if line.startswith(b"data:")]
        payload = b" ".join(lines)
        if not payload:
            return b""
        if payload == b"[DONE]":
            self.done = True
            return DONE
        if payload[:1] != b"{" or payload[-1:] != b"}":
            raise UpstreamGoneError("The upstream sent something that is not JSON.")
        if (b'"error"' in payload or _USAGE.search(payload)) and self._is_usage_only(payload):
            return b""
        plain = b"data: " + payload
        out = frame if frame.rstrip(b"\r\n") == plain else plain + b"\n\n"
        self._count(out, 1)
        return out

    def _is_usage_only(self, payload: bytes) -> bool:
        """Note usage and errors; True for the extra chunk that the client did not ask for."""
        try:
            chunk = _CHUNK.decode(payload)
            usage = _USAGE_OBJECT.decode(chunk.usage) if chunk.usage else None
        except msgspec.ValidationError:
            return False
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamGoneError("The upstream sent something that is not JSON.") from None
        if chunk.error:
            self.failed = True
        if usage is not None:
            self.usage = usage
        return usage is not None and chunk.choices == [] and not self._keep_usage

    def _learn(self) -> None:
        blocks = self._sample if self._last in self._sample else [*self._sample, self._last]
        frames = [frame for block in blocks for frame in block.split(b"\n\n") if frame.strip()]
        if not frames:
            return
        found = [frame_text(frame) for frame in frames]
        text_bytes = sum(size for _, size in found)
        self._textless = sum(not size for _, size in found)
        self._overhead_bytes = (sum(len(block) for block in blocks) - text_bytes) // len(frames)
        if text_bytes:
            tokens = text_tokens("".join(text for text, _ in found))
            self._tokens_per_kib = -(-tokens * 1024 // text_bytes)
