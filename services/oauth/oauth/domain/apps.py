"""Apps of third parties: the clients of RFC 6749."""

from datetime import datetime
from typing import Literal

import msgspec

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
DisabledBy = Literal["owner", "operator"]
AUTH_METHODS: tuple[AuthMethod, ...] = (
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
)


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A registered app. `id` is ours, `client_id` its public name.

    `owner` and `owner_account` are the person whose app it is, None for an app of the operator. `secrets` are
    keyed digests, the newest first: two live during a rotation. `jwks` is a JSON Web Key Set of public keys.
    `fee_micro` is the platform's share of each charge in millionths.
    """

    id: str
    client_id: str
    name: str
    auth_method: AuthMethod
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    owner: str | None = None
    owner_account: str | None = None
    description: str = ""
    homepage: str = ""
    secrets: tuple[bytes, ...] = ()
    jwks: str | None = None
    fee_micro: int = 0
    require_par: bool = False
    require_dpop: bool = False
    disabled_at: datetime | None = None
    disabled_by: DisabledBy | None = None

    @property
    def is_public(self) -> bool:
        """Whether it keeps no secret (RFC 6749 section 2.1)."""
        return self.auth_method == "none"

    @property
    def is_unregistered(self) -> bool:
        """Whether nobody registered it: whoever answers at the origin that its client id names is the app."""
        return self.is_public and self.owner is None and not self.redirect_uris
