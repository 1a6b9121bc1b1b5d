"""`GET /models` and `GET /models/{id}`: a few of the vendor's models, and any valid `sim-` name."""

from typing import Any

from simulators.faults import PREFIX, UnknownFaultError, parse_faults
from simulators.openai.envelope import SNAPSHOTS
from simulators.openai.errors import model_not_found

CREATED = 1_721_172_741

MODELS = (
    *SNAPSHOTS,
    *SNAPSHOTS.values(),
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-large",
    "text-embedding-3-small",
    "text-embedding-ada-002",
)


def model_list() -> dict[str, Any]:
    """The list object."""
    return {"object": "list", "data": [_model(name) for name in MODELS]}


def one_model(name: str) -> dict[str, Any]:
    """The model object, or the vendor's 404."""
    if name not in MODELS and not name.startswith(PREFIX):
        raise model_not_found(name)
    try:
        parse_faults(name)
    except UnknownFaultError as error:
        raise model_not_found(name) from error
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}
