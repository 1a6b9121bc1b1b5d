"""Who calls a management route: put into the scope by the front, which has checked the key."""

from typing import TypeAlias

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from common.contracts.errors import ForbiddenError
from gateway.domain.keys import KeyFacts

Caller: TypeAlias = NamedDependency[SkipValidation[KeyFacts]]
"""A handler's parameter `caller`."""


def provide_caller(request: Request) -> KeyFacts:  # type: ignore[type-arg]
    """The facts of the caller's key."""
    caller: KeyFacts = request.scope["state"]["caller"]
    return caller


def require_admin(caller: KeyFacts) -> None:
    """Raises ForbiddenError."""
    if not caller.is_admin:
        raise ForbiddenError("This needs a key with the scope `admin`.")
