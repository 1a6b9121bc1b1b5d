"""Parameters of a request, read alike wherever one is needed."""

from collections.abc import Mapping

from oauth.domain.errors import InvalidRequestError

MAX_STATE_BYTES = 10_240


def state_of(parameters: Mapping[str, str]) -> str:
    """`state` as it was sent, at most 10 KiB of UTF-8; InvalidRequestError when longer."""
    state = parameters.get("state", "")
    if len(state.encode()) > MAX_STATE_BYTES:
        raise InvalidRequestError(f"The state has more than {MAX_STATE_BYTES} bytes.", param="state")
    return state


def required(parameters: Mapping[str, str], name: str) -> str:
    """The value of a parameter; InvalidRequestError that names it when it is missing."""
    value = parameters.get(name)
    if value is None:
        raise InvalidRequestError(f"The parameter {name} is missing.", param=name)
    return value
