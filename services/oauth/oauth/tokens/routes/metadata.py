"""GET /.well-known/oauth-authorization-server (RFC 8414)."""

from litestar import Controller, Response, get
from litestar.di import NamedDependency


class MetadataController(Controller):
    """What works here, as each feature says."""

    path = "/.well-known/oauth-authorization-server"

    @get()
    async def show(self, metadata: NamedDependency[dict[str, object]]) -> Response[dict[str, object]]:
        """The issuer is the very text that `iss` says everywhere."""
        return Response(metadata, headers={"cache-control": "public, max-age=300"})
