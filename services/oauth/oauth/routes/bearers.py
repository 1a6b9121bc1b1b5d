"""Access tokens on requests for resources of this service."""

from collections.abc import Mapping
from typing import Any, cast

from litestar import Request
from litestar.di import NamedDependency, Provide

from common.kit.asgi import Scope, header
from oauth.domain.tokens import LiveToken
from oauth.usecases.bearers import Bearers


def require(scope: str) -> Provide:
    """With it as dependency `token`, a handler gets the LiveToken of the request, which has that scope.

    Such controllers have `exception_handlers = resource_handlers`, which tell refusals as they must be told.
    """

    async def provide(request: Request[Any, Any, Any], bearers: NamedDependency[Bearers]) -> LiveToken:
        return await check_bearer(bearers, cast("Scope", request.scope), scope)

    return Provide(provide)


async def check_bearer(bearers: Bearers, asked: Scope, scope: str) -> LiveToken:
    """The LiveToken of the request `asked`, which has `scope`; errors as Bearers.check."""
    authorization = header(asked["headers"], b"authorization")
    text = None if authorization is None else authorization.decode("latin-1")
    return await bearers.check(text, dpop_headers(asked), asked["method"], asked["path"], scope)


def dpop_headers(asked: Mapping[str, Any]) -> list[str]:
    """The values of every DPoP header of the request; more than one is refused (RFC 9449 section 4.3)."""
    return [value.decode("latin-1") for name, value in asked["headers"] if name == b"dpop"]
