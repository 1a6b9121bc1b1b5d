"""/oauth/userinfo: who signed in."""

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from oauth.domain.tokens import Digester, LiveToken
from oauth.identity.usecases.people import describe_person
from oauth.routes.bearers import require
from oauth.routes.errors import NO_STORE, resource_handlers


class UserinfoController(Controller):
    """OpenID Connect Core section 5.3, by an access token with the scope `openid`."""

    path = "/oauth/userinfo"
    dependencies = {"token": require("openid")}  # noqa: RUF012
    exception_handlers = resource_handlers

    @get()
    async def show(
        self, token: NamedDependency[LiveToken], digester: NamedDependency[Digester]
    ) -> Response[dict[str, object]]:
        """The claims that the token's scopes open."""
        return Response(describe_person(digester, token), headers=NO_STORE)

    @post(status_code=200)
    async def show_posted(
        self, token: NamedDependency[LiveToken], digester: NamedDependency[Digester]
    ) -> Response[dict[str, object]]:
        """The same; clients may ask either way (section 5.3.1)."""
        return Response(describe_person(digester, token), headers=NO_STORE)
