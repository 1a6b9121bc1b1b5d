"""WWW-Authenticate: what credential a refused client is to bring (RFC 6750 section 3, RFC 9449 section 7)."""

from common.contracts.errors import InvalidKeyError, ServiceError
from gateway.domain.errors import InsufficientScopeError, InvalidTokenError
from gateway.domain.proofs import ALGORITHMS

_REALM = 'Bearer realm="tollway"'


def challenge(error: ServiceError) -> list[tuple[bytes, bytes]]:
    """The header of a refusal for want of a credential or scope, none for any other."""
    if isinstance(error, InvalidKeyError):
        text = _REALM
    elif isinstance(error, InvalidTokenError):
        text = f'{_REALM}, error="{error.error_code}", error_description="{error.message}"'
        if error.bound:
            text = text.replace(_REALM, f'DPoP algs="{" ".join(ALGORITHMS)}"')
    elif isinstance(error, InsufficientScopeError):
        text = f'{_REALM}, error="{error.error_code}"' + (f', scope="{error.scope}"' if error.scope else "")
    else:
        return []
    return [(b"www-authenticate", text.encode())]
