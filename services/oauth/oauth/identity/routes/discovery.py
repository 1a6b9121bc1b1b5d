"""/.well-known/openid-configuration: what is here, for clients that configure themselves."""

from litestar import Controller, Response, get
from litestar.di import NamedDependency


class DiscoveryController(Controller):
    """OpenID Connect Discovery section 4; the same facts as RFC 8414, told once."""

    path = "/.well-known/openid-configuration"

    @get()
    async def show(self, metadata: NamedDependency[dict[str, object]]) -> Response[dict[str, object]]:
        """What works, as each feature has said."""
        return Response(metadata, headers={"cache-control": "public, max-age=300"})
