"""`POST /embeddings`: unit vectors that depend on the text alone, the same in both encodings."""

import base64
import hashlib
import math
import random
import sys
from array import array
from typing import Any

import msgspec

from simulators.faults import Faults
from simulators.openai.errors import invalid
from simulators.openai.requests import EmbeddingRequest, input_texts

FULL_DIMENSIONS = {"text-embedding-3-large": 3072}
OTHER_DIMENSIONS = 1536


def vector(text: str, dimensions: int) -> "array[float]":
    """The float32 unit vector of `text`: the first `dimensions` numbers of a sequence seeded by its hash."""
    numbers = random.Random(hashlib.sha256(text.encode()).digest())
    raw = [numbers.uniform(-1, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(x * x for x in raw))
    return array("f", [x / length for x in raw])


def encoded(values: "array[float]", encoding: str | None) -> Any:
    """A list of numbers, or base64 of little-endian float32."""
    if encoding != "base64":
        return values.tolist()
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()


def embeddings_json(request: EmbeddingRequest, faults: Faults) -> tuple[bytes, int]:
    """The list object and its prompt tokens, or the vendor's 400 for a bad input or too many dimensions."""
    full = FULL_DIMENSIONS.get(request.model, OTHER_DIMENSIONS)
    dimensions = request.dimensions or full
    if dimensions > full:
        raise invalid(f"Invalid value for 'dimensions' = {dimensions}. Must be at most {full}.", "dimensions")
    inputs = input_texts(request.input, "input")
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": encoded(vector(text, dimensions), request.encoding_format),
        }
        for i, (text, _) in enumerate(inputs)
    ]
    tokens = sum(count for _, count in inputs)
    answer: dict[str, Any] = {"object": "list", "data": data, "model": request.model}
    if not faults.no_usage:
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode(answer), tokens
