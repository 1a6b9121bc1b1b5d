"""/.well-known/jwks.json, and /api/oauth/keys for the operator."""

from datetime import datetime

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from common.contracts.principals import Principal
from oauth.identity.domain.keys import JWKS_MAX_AGE_S, SigningKey
from oauth.identity.usecases.keys import KeyRing
from oauth.routes.principals import ManagementController


class KeySetController(Controller):
    """The public keys that ID tokens are checked with."""

    path = "/.well-known/jwks.json"

    @get()
    async def show(self, key_ring: NamedDependency[SkipValidation[KeyRing]]) -> Response[dict[str, object]]:
        """A JSON Web Key Set (RFC 7517)."""
        keys = [msgspec.Raw(key.public_jwk.encode()) for key in await key_ring.published()]
        headers = {"cache-control": f"public, max-age={JWKS_MAX_AGE_S}"}
        return Response({"keys": keys}, headers=headers)


class KeyView(msgspec.Struct, frozen=True):
    """A key; it signs from `active_at` until the next one does, and is published until `expires_at`."""

    kid: str
    created_at: datetime
    active_at: datetime
    expires_at: datetime | None


class KeyList(msgspec.Struct, frozen=True):
    """The newest first; there is no next page."""

    data: list[KeyView]
    next: None = None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST rotate. `at_once`: the key in use leaked, so nothing that it signed counts any more."""

    at_once: bool = False


class KeyController(ManagementController):
    """Signing keys, for admins."""

    path = "/api/oauth/keys"

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        key_ring: NamedDependency[SkipValidation[KeyRing]],
    ) -> KeyList:
        """The keys that are published."""
        principal.require_admin()
        return KeyList([_view(key) for key in await key_ring.published()])

    @post("/rotate", status_code=200)
    async def rotate(
        self,
        principal: NamedDependency[Principal],
        key_ring: NamedDependency[SkipValidation[KeyRing]],
        data: JSONBody[Rotation],
    ) -> KeyList:
        """Make the next key before its time."""
        principal.require_admin()
        return KeyList([_view(key) for key in await key_ring.rotate(at_once=data.at_once)])


def _view(key: SigningKey) -> KeyView:
    return KeyView(key.kid, key.created_at, key.active_at, key.expires_at)
