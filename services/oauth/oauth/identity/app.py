"""The composition root of identity."""

from collections.abc import Mapping

from oauth.adapters.vault import Vault
from oauth.domain.tokens import LiveToken
from oauth.identity.adapters.postgres.keys import PostgresKeys
from oauth.identity.adapters.rsa import ALGORITHM, RsaSigner
from oauth.identity.routes.discovery import DiscoveryController
from oauth.identity.routes.keys import KeyController, KeySetController
from oauth.identity.routes.people import UserinfoController
from oauth.identity.usecases.id_tokens import IdTokenMint
from oauth.identity.usecases.keys import KEEP_EVERY_S, KeyRing
from oauth.identity.usecases.people import describe_person
from oauth.parts import Feature, Parts


async def open_identity(parts: Parts) -> None:
    """Keep the signing keys from now on."""
    issuer = parts.settings.issuer
    signer = RsaSigner(Vault(parts.settings.secret_key, "signing keys"))
    ring = KeyRing(PostgresKeys(parts.database), signer, parts.clock)
    await ring.keep()
    parts.every(KEEP_EVERY_S, ring.keep)
    parts.id_tokens = IdTokenMint(ring, parts.digester, parts.clock, issuer)

    async def tell(token: LiveToken, _: Mapping[str, object], __: str) -> Mapping[str, object]:
        return describe_person(parts.digester, token)

    parts.resources["userinfo"] = tell
    parts.state.key_ring = ring
    parts.state.digester = parts.digester
    parts.metadata |= {
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": [
            "iss",
            "sub",
            "aud",
            "azp",
            "exp",
            "iat",
            "auth_time",
            "nonce",
            "name",
            "preferred_username",
            "email",
            "email_verified",
        ],
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


IDENTITY = Feature(
    controllers=(DiscoveryController, KeySetController, KeyController, UserinfoController),
    names=("key_ring", "digester"),
    open=open_identity,
)
