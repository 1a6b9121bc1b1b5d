"""Access tokens on requests for resources of this service."""

from typing import Any

from litestar import Request
from litestar.di import NamedDependency, Provide

from oauth.domain.tokens import LiveToken
from oauth.usecases.bearers import Bearers


def require(scope: str) -> Provide:
    """With it as dependency `token`, a handler gets the LiveToken of the request, which has that scope.

    Such controllers have `exception_handlers = resource_handlers`, which tell refusals as they must be told.
    """

    async def provide(request: Request[Any, Any, Any], bearers: NamedDependency[Bearers]) -> LiveToken:
        authorization = request.headers.get("authorization")
        return await bearers.check(
            authorization, dpop_headers(request), request.method, request.url.path, scope
        )

    return Provide(provide)


def dpop_headers(request: Request[Any, Any, Any]) -> list[str]:
    """The values of every DPoP header; more than one is refused (RFC 9449 section 4.3)."""
    return request.headers.getall("dpop", [])
