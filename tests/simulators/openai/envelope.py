"""What every completion answer carries around its choices: ids, served model, usage, the stream's tail."""

import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from simulators.delivery import Frame
from simulators.faults import Faults
from simulators.openai.requests import StreamOptions

FINGERPRINT = "fp_50cad350e4"
OBFUSCATION = "k3Jw9QvZ2mXa7RtY"

# The vendor answers with the dated snapshot that an alias stands for.
SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
}


class Envelope:
    """One answer's frame.

    `visible_tokens` are those of one choice; `completion_tokens` is the sum over all choices, reasoning
    tokens among them.
    """

    def __init__(
        self,
        *,
        prefix: str,
        model: str,
        faults: Faults,
        prompt_tokens: int,
        visible_tokens: int,
        choices: int = 1,
        options: StreamOptions | None = None,
    ) -> None:
        self.id = f"{prefix}-{os.urandom(15).hex()}"
        self.created = int(time.time())
        self.model = SNAPSHOTS.get(model, model)
        self.faults = faults
        self.prompt_tokens = prompt_tokens
        self.reasoning_tokens = choices * faults.reasoning
        self.completion_tokens = choices * visible_tokens + self.reasoning_tokens
        self._asked_usage = bool(options and options.include_usage) and not faults.no_usage
        self._obfuscated = not (options and options.include_obfuscation is False)

    def usage(self) -> dict[str, Any]:
        """The vendor's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {
                "cached_tokens": min(self.faults.cached, self.prompt_tokens),
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def whole(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer as one object of type `kind`."""
        answer = self._head(kind) | {"choices": choices, "usage": self.usage()}
        if self.faults.no_usage:
            del answer["usage"]
        return answer | {"service_tier": "default", "system_fingerprint": FINGERPRINT}

    def chunk(self, kind: str, choices: list[dict[str, Any]], *, last: bool = False) -> dict[str, Any]:
        """One stream chunk; `usage` is null in each when it was asked for. `last`: the finish chunk."""
        answer = self._head(kind)
        answer |= {"service_tier": "default", "system_fingerprint": FINGERPRINT, "choices": choices}
        if last and self.faults.usage_last_chunk:
            answer["usage"] = self.usage()
        elif self._asked_usage:
            answer["usage"] = None
        return self._obfuscate(answer)

    def tail(self, kind: str) -> Iterator[Frame]:
        """The usage chunk, when asked for, and `[DONE]`."""
        if self._asked_usage and not self.faults.usage_last_chunk:
            answer = self._head(kind)
            answer |= {"service_tier": "default", "system_fingerprint": FINGERPRINT, "choices": []}
            answer["usage"] = self.usage()
            yield Frame(sse(self._obfuscate(answer)))
        if not self.faults.no_done:
            yield Frame(b"data: [DONE]\n\n")

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _obfuscate(self, chunk: dict[str, Any]) -> dict[str, Any]:
        # the vendor pads each chunk so that its size tells nothing of its text; clients must pass it over
        if self._obfuscated:
            used = sum(len(str(choice)) for choice in chunk["choices"])
            chunk["obfuscation"] = OBFUSCATION[: 1 + used % len(OBFUSCATION)]
        return chunk


def sse(chunk: dict[str, Any]) -> bytes:
    """One event as the vendor writes it."""
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
