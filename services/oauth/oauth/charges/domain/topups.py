"""Top-up orders: an app asks for money into a person's balance, which the person then pays at Stripe."""

from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from common.contracts.errors import InvalidRequestError
from common.contracts.payments import PaymentMethod
from oauth.domain.apps import App

_WEB = ("http", "https")
_MAX_URL = 2000


class TopupAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is a decimal string of USD with cents. `return_url` is where the person goes afterwards."""

    method: PaymentMethod
    amount: str
    return_url: str = ""


class TopupOrder(msgspec.Struct, frozen=True):
    """Whose order it is; what it is worth and how it stands, billing knows by the same id."""

    id: str
    app: str
    user: str
    account: str
    method: PaymentMethod
    created_at: datetime


class TopupView(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the app sees it. `url` is where to pay while it is open; only `succeeded` was credited."""

    id: str
    object: str = "topup_order"
    status: str
    method: PaymentMethod
    url: str | None
    amount: str
    currency: str
    credits: str
    failure: str | None
    created_at: datetime


def check_return_url(app: App, url: str) -> None:
    """InvalidRequestError unless the URL is at the origin of one of the app's redirect URIs.

    A person who has just paid is sent where the app was registered, and nowhere else.
    """
    if not url:
        return
    try:
        own = {_origin(registered) for registered in app.redirect_uris}
        known = len(url) <= _MAX_URL and url.isascii() and url.isprintable() and _origin(url) in own
    except ValueError:
        known = False
    if not known or not url.startswith(tuple(f"{scheme}://" for scheme in _WEB)):
        raise InvalidRequestError("That is at none of the app's redirect URIs.", param="return_url")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or "\\" in url:
        raise ValueError("credentials")
    return parts.scheme, parts.hostname, parts.port
