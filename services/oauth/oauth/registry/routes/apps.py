"""/api/oauth/apps: registering apps, their secrets, their end."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from common.contracts.errors import InvalidRequestError
from common.contracts.principals import Principal
from common.kit.money import format_rate, parse_rate
from oauth.domain.apps import App, AuthMethod, DisabledBy
from oauth.registry.domain.apps import public_keys
from oauth.registry.usecases.apps import NOBODY, Registrar
from oauth.routes.principals import ManagementController, cursor_of

PageLimit = Annotated[int, QueryParameter(ge=1, le=500)]


class AppCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST. `fee`, the platform's share of each charge (`0.05`), is the operator's to say."""

    name: str
    redirect_uris: tuple[str, ...]
    description: str = ""
    homepage: str = ""
    auth_method: AuthMethod = "client_secret_basic"
    scopes: tuple[str, ...] = ("openid",)
    jwks: dict[str, Any] | None = None
    require_par: bool = False
    require_dpop: bool = False
    fee: str | None = None


class AppPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PATCH: the fields to change."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    redirect_uris: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    homepage: str | msgspec.UnsetType = msgspec.UNSET
    auth_method: AuthMethod | msgspec.UnsetType = msgspec.UNSET
    scopes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    jwks: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    require_par: bool | msgspec.UnsetType = msgspec.UNSET
    require_dpop: bool | msgspec.UnsetType = msgspec.UNSET
    fee: str | msgspec.UnsetType = msgspec.UNSET


class AppView(msgspec.Struct, frozen=True, kw_only=True):
    """An app as its owner and the operator see it. `owner` is a user id, null for an app of the operator;
    `secrets` is how many are live.
    """

    client_id: str
    name: str
    description: str
    homepage: str
    auth_method: AuthMethod
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    jwks: msgspec.Raw
    require_par: bool
    require_dpop: bool
    fee: str
    secrets: int
    owner: str | None
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None
    disabled_by: DisabledBy | None


class NewAppView(AppView, frozen=True, kw_only=True):
    """The only answers that hold a secret; null for an app that keeps none."""

    client_secret: str | None


class AppList(msgspec.Struct, frozen=True):
    """In the order they were made; `next` is the `after` of the next page, null at the end."""

    data: list[AppView]
    next: str | None


class AppController(ManagementController):
    """Apps: everybody has their own, admins reach all; another's is indistinguishable from none."""

    path = "/api/oauth/apps"

    @post()
    async def create(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        data: JSONBody[AppCreate],
    ) -> NewAppView:
        """Register an app; its secret is shown this once."""
        app, secret = await registrar.create(principal, _said(principal, data))
        return NewAppView(**_fields(app), client_secret=secret)

    @get()
    async def list_(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        all_: Annotated[bool, QueryParameter(name="all")] = False,  # noqa: FBT002  a query parameter
        after: FromQuery[str | None] = None,
        limit: PageLimit = 50,
    ) -> AppList:
        """The caller's apps; with `all=true` everybody's, for admins. The operator's own key sees all."""
        if all_:
            principal.require_admin()
        owner = None if all_ or principal.user == NOBODY else principal.user
        found = await registrar.list_page(owner, cursor_of(after), limit + 1)
        page = found[:limit]
        return AppList([_view(app) for app in page], page[-1].id if len(found) > limit else None)

    @get("/{client_id:str}")
    async def read(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
    ) -> AppView:
        """One app."""
        return _view(await registrar.get(owner_of(principal), client_id))

    @patch("/{client_id:str}")
    async def change(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
        data: JSONBody[AppPatch],
    ) -> AppView:
        """Change some fields; grants and tokens stay."""
        return _view(await registrar.change(owner_of(principal), client_id, _said(principal, data)))

    @post("/{client_id:str}/secrets")
    async def rotate(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
    ) -> NewAppView:
        """A new secret, shown this once; the one before it counts until it is dropped."""
        app, secret = await registrar.rotate_secret(owner_of(principal), client_id)
        return NewAppView(**_fields(app), client_secret=secret)

    @delete("/{client_id:str}/secrets/previous")
    async def drop_secret(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
    ) -> None:
        """Only the newest secret counts from now on."""
        await registrar.drop_secret(owner_of(principal), client_id)

    @delete("/{client_id:str}")
    async def remove(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
    ) -> None:
        """The same as to disable it: what it charged stays on the books."""
        await _disable(principal, registrar, client_id)

    @post("/{client_id:str}/disable", status_code=200)
    async def disable(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
    ) -> AppView:
        """Stop every token of it, on every replica within a second."""
        return _view(await _disable(principal, registrar, client_id))

    @post("/{client_id:str}/enable", status_code=200)
    async def enable(
        self,
        principal: NamedDependency[Principal],
        registrar: NamedDependency[Registrar],
        client_id: FromPath[str],
    ) -> AppView:
        """Let it go on; what the operator disabled only the operator enables."""
        return _view(await registrar.enable(owner_of(principal), client_id, by_operator=principal.is_admin))


def owner_of(principal: Principal) -> str | None:
    """Whose apps the caller reaches: everybody's as None for an admin, else their own."""
    return None if principal.is_admin else principal.user


async def _disable(principal: Principal, registrar: Registrar, client_id: str) -> App:
    app = await registrar.get(owner_of(principal), client_id)
    by_operator = principal.is_admin and app.owner != principal.user
    return await registrar.disable(owner_of(principal), client_id, by_operator=by_operator)


def _said(principal: Principal, data: AppCreate | AppPatch) -> dict[str, Any]:
    """The fields of App that a body names."""
    said = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
    if said.get("jwks") is not None:
        said["jwks"] = public_keys(said["jwks"])
    fee = said.pop("fee", None)
    if fee is not None:
        principal.require_admin()
        try:
            said["fee_micro"] = parse_rate(fee)
        except ValueError as error:
            raise InvalidRequestError(f"fee: {error}.", param="fee") from None
    return said


def _fields(app: App) -> dict[str, Any]:
    fields = {name: getattr(app, name) for name in AppView.__struct_fields__ if hasattr(app, name)}
    return fields | {
        "jwks": msgspec.Raw((app.jwks or "null").encode()),
        "fee": format_rate(app.fee_micro),
        "secrets": len(app.secrets),
    }


def _view(app: App) -> AppView:
    return AppView(**_fields(app))
