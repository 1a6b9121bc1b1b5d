"""`GET /v1/models` in the shape of who asks: OpenAI's, or Anthropic's when `anthropic-version` is sent."""

from collections.abc import Sequence

import msgspec


def model_list(models: Sequence[str], *, anthropic: bool) -> bytes:
    """The list document."""
    if anthropic:
        data = [_anthropic(model) for model in models]
        first, last = (models[0], models[-1]) if models else (None, None)
        return msgspec.json.encode({"data": data, "has_more": False, "first_id": first, "last_id": last})
    return msgspec.json.encode({"object": "list", "data": [_openai(model) for model in models]})


def one_model(model: str, *, anthropic: bool) -> bytes:
    """The document of one model."""
    return msgspec.json.encode(_anthropic(model) if anthropic else _openai(model))


def _openai(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "tollway"}


def _anthropic(model: str) -> dict[str, object]:
    return {"type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z"}
