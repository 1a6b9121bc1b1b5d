"""Who is calling: nothing is answered without the gateway's signature."""

from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from common.contracts.principals import Principal
from common.kit.principal import PRINCIPAL_HEADER, PrincipalSigner


def require_principal(signer: PrincipalSigner) -> Guard:
    """A guard that verifies the principal header before anything else of the request is read.

    A handler with `opt={"public": True}` is reached without one and proves its caller by other means.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if handler.opt.get("public"):
            return
        header = connection.headers.get(PRINCIPAL_HEADER.decode(), "")
        connection.state.principal = signer.verify(header.encode("latin-1"))

    return guard


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """The principal the guard verified."""
    principal: Principal = request.state.principal
    return principal


def account_of(principal: Principal, account: str | None) -> str:
    """The account asked for: the caller's own unless an admin names another; ForbiddenError otherwise."""
    if account is None or account == principal.account:
        return principal.account
    principal.require_admin()
    return account
