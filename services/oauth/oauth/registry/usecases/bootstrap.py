"""Apply the apps of the bootstrap file.

Applying it again changes only what the file now says differently. An app that the file no longer names
stays, and one that was disabled stays disabled. Two replicas may apply it at once.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from common.contracts.bootstrap import OAuthAppSpec
from common.contracts.errors import ServiceError
from common.kit.bootstrap import BootstrapError
from common.kit.ids import uuid7
from common.kit.money import parse_rate
from oauth.domain.apps import App, AuthMethod
from oauth.domain.ports import OAuthTransaction, Store
from oauth.domain.tokens import Digester
from oauth.registry.domain.apps import check_app, check_client_id, public_keys
from oauth.registry.usecases.apps import hold_owner, record_narrowed

_LEAST_SECRET = 16


class Declared(msgspec.Struct, frozen=True):
    """An app as the file says it; `has_fee`: the file says its fee, too."""

    app: App
    has_fee: bool


def read_apps(
    specs: Sequence[OAuthAppSpec],
    digester: Digester,
    now: datetime,
    management_tokens: bool,  # noqa: FBT001  as the settings have it
) -> list[Declared]:
    """What the file declares; BootstrapError naming the app that cannot be."""
    declared: list[Declared] = []
    for spec in specs:
        try:
            check_client_id(spec.client_id)
            app = check_app(_app(spec, digester, now), management_tokens=management_tokens)
        except (ServiceError, ValueError) as error:
            raise BootstrapError(f"oauth app {spec.client_id}: {error}") from error
        if spec.client_id in {other.app.client_id for other in declared}:
            raise BootstrapError(f"oauth app {spec.client_id}: it is declared twice")
        declared.append(Declared(app, spec.fee is not None))
    return declared


async def apply_apps(store: Store, declared: Sequence[Declared]) -> None:
    """BootstrapError when an app's client id is that of an app which a person registered."""
    for one in declared:
        async with store.transaction() as work:
            if not await work.apps.add(one.app):
                await _update(work, one)


async def _update(work: OAuthTransaction, declared: Declared) -> None:
    app = declared.app
    await hold_owner(work, app)
    known = await work.apps.lock(app.client_id)
    if known is None or known.owner is not None:
        raise BootstrapError(f"oauth app {app.client_id}: a person has registered an app of this client id")
    # A secret that was rotated by other means lives on beside the file's, until the file says another.
    is_known = not app.secrets or app.secrets[0] in known.secrets
    changed = msgspec.structs.replace(
        app,
        id=known.id,
        created_at=known.created_at,
        updated_at=known.updated_at,
        disabled_at=known.disabled_at,
        disabled_by=known.disabled_by,
        secrets=known.secrets if app.secrets and is_known else app.secrets,
        fee_micro=app.fee_micro if declared.has_fee else known.fee_micro,
    )
    if changed != known:
        await work.apps.update(msgspec.structs.replace(changed, updated_at=app.updated_at))
        await record_narrowed(work, known, changed)


def _app(spec: OAuthAppSpec, digester: Digester, now: datetime) -> App:
    method: AuthMethod = "client_secret_basic"
    if spec.public:
        method = "none"
    elif spec.jwks is not None:
        method = "private_key_jwt"
    if (spec.client_secret is not None) != (method == "client_secret_basic"):
        raise ValueError("it has one of client_secret, jwks and public = true")
    if spec.client_secret is not None and len(spec.client_secret) < _LEAST_SECRET:
        raise ValueError(f"its client_secret has less than {_LEAST_SECRET} characters")
    return App(
        id=uuid7(),
        client_id=spec.client_id,
        name=spec.name,
        description=spec.description,
        homepage=spec.homepage,
        auth_method=method,
        redirect_uris=spec.redirect_uris,
        scopes=spec.scopes,
        secrets=() if spec.client_secret is None else (digester.digest(spec.client_secret),),
        jwks=None if spec.jwks is None else public_keys(msgspec.json.decode(spec.jwks)),
        fee_micro=0 if spec.fee is None else parse_rate(spec.fee),
        require_par=spec.require_par,
        require_dpop=spec.require_dpop,
        created_at=now,
        updated_at=now,
    )
