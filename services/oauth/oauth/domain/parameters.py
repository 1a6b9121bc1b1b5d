"""Parameters of a request, read alike wherever one is needed."""

from collections.abc import Mapping

from oauth.domain.errors import InvalidRequestError


def required(parameters: Mapping[str, str], name: str) -> str:
    """The value of a parameter; InvalidRequestError that names it when it is missing."""
    value = parameters.get(name)
    if value is None:
        raise InvalidRequestError(f"The parameter {name} is missing.", param=name)
    return value
