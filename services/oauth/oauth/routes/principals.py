"""Who calls a management route: a person, by key or session, whom the gateway has signed for."""

from typing import Any, cast
from uuid import UUID

from litestar import Controller
from litestar.connection import ASGIConnection, Request
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler

from common.contracts.errors import ForbiddenError, InvalidRequestError
from common.contracts.principals import Principal
from common.kit.principal import PRINCIPAL_HEADER, PrincipalSigner


def require_person(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard that verifies the principal header before anything else of the request is read.

    What acts for an app is refused, whatever it may do elsewhere: an app that could come here could raise
    its own limit.
    """
    header = connection.headers.get(PRINCIPAL_HEADER.decode(), "")
    signer = cast("PrincipalSigner", connection.app.state.signer)
    principal = signer.verify(header.encode("latin-1"))
    if principal.spender_kind != "key" or principal.app:
        raise ForbiddenError("Apps cannot manage apps or grants.")
    connection.state.principal = principal


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """The principal the guard verified."""
    principal: Principal = request.state.principal
    return principal


def user_of(principal: Principal, user: UUID | None) -> str:
    """The person asked for: the caller unless an admin names another; ForbiddenError otherwise."""
    if user is None or str(user) == principal.user:
        return principal.user
    principal.require_admin()
    return str(user)


def cursor_of(after: str | None) -> str | None:
    """`after` as the id it must be; InvalidRequestError otherwise."""
    try:
        return None if after is None else str(UUID(after))
    except ValueError:
        raise InvalidRequestError("Not a cursor of this list.", param="after") from None


class ManagementController(Controller):
    """What every management route has: the guard, and `principal` for the handlers."""

    guards = (require_person,)
    dependencies = {"principal": Provide(provide_principal, sync_to_thread=False)}  # noqa: RUF012
