"""Apps, grants and charges: the OAuth service's events and the questions others may ask it."""

import msgspec

from common.contracts.principals import Budget
from common.contracts.rpc import Method

ACCESS_TOKEN_PREFIX = "toa_"  # noqa: S105  how an access token is told from an API key


class GrantTerms(msgspec.Struct, frozen=True):
    """What the events of a grant that lives say. `limit` is USD per `period`, absent without one.

    `app` is the client id.
    """

    id: str
    sequence: int
    user: str
    account: str
    grant: str
    app: str
    scopes: tuple[str, ...]
    limit: str | None = None
    period: str = "total"
    max_per_charge: str | None = None
    expires_at: str | None = None


class GrantCreated(GrantTerms, frozen=True, tag="oauth.grant.created.v1", tag_field="type"):
    """A person allowed an app something. `limit` is USD per `period`, absent without one."""


class GrantUpdated(GrantTerms, frozen=True, tag="oauth.grant.updated.v1", tag_field="type"):
    """The person consented again, or changed the limit; caches must drop the person's tokens."""


class TokensEnded(msgspec.Struct, frozen=True):
    """Whose tokens are dead: those of `grant` that a `user` gave to an `app`, by its client id."""

    id: str
    sequence: int
    user: str
    account: str
    grant: str
    app: str
    by: str


class GrantRevoked(TokensEnded, frozen=True, tag="oauth.grant.revoked.v1", tag_field="type"):
    """The grant is dead: every replica refuses its tokens within a second. `by` says who ended it: `user`,
    `app`, `owner` (of the app), `operator`.
    """


class TokensRevoked(TokensEnded, frozen=True, tag="oauth.tokens.revoked.v1", tag_field="type"):
    """Some tokens of a grant are dead, revoked (RFC 7009) or since one was replayed; the grant lives."""


class AppDisabled(msgspec.Struct, frozen=True, tag="oauth.app.disabled.v1", tag_field="type"):
    """No token of the app counts any more, whoever granted it; `user` owns the app."""

    id: str
    sequence: int
    user: str
    app: str


class AppNarrowed(msgspec.Struct, frozen=True, tag="oauth.app.narrowed.v1", tag_field="type"):
    """The app may do less than before, and so may its tokens: `scopes` are left. `user` owns the app."""

    id: str
    sequence: int
    user: str
    app: str
    scopes: tuple[str, ...]


class ChargeEvent(msgspec.Struct, frozen=True):
    """What the events of a charge say. Amounts are decimal strings of USD as they are now: `captured` was
    taken from the person, `refunded` of it went back, `fee` is the platform's share of what did not.

    `user` and `account` are who paid, `app` is the client id, `reference` the app's own.
    """

    id: str
    sequence: int
    user: str
    account: str
    charge: str
    grant: str
    app: str
    amount: str
    captured: str
    refunded: str
    fee: str
    reference: str
    currency: str = "USD"


class AppChargeSucceeded(ChargeEvent, frozen=True, tag="oauth.charge.succeeded.v1", tag_field="type"):
    """An app charged a person's balance."""


class AppChargeCaptured(ChargeEvent, frozen=True, tag="oauth.charge.captured.v1", tag_field="type"):
    """What was held for an app was taken, all or a part."""


class AppChargeCanceled(ChargeEvent, frozen=True, tag="oauth.charge.canceled.v1", tag_field="type"):
    """What was held for an app went back; nothing was taken."""


class AppChargeExpired(ChargeEvent, frozen=True, tag="oauth.charge.expired.v1", tag_field="type"):
    """What was held for an app was not taken in time and went back."""


class AppChargeRefunded(ChargeEvent, frozen=True, tag="oauth.charge.refunded.v1", tag_field="type"):
    """An app gave back all or a part: `refund_amount` this time, `refund` is its id."""

    refund: str = ""
    refund_amount: str = "0"
    reason: str = ""


OAuthEvent = (
    GrantCreated
    | GrantUpdated
    | GrantRevoked
    | TokensRevoked
    | AppDisabled
    | AppNarrowed
    | AppChargeSucceeded
    | AppChargeCaptured
    | AppChargeCanceled
    | AppChargeExpired
    | AppChargeRefunded
)


class TokenCheck(msgspec.Struct, frozen=True):
    """What does this access `token` stand for?"""

    token: str


class TokenFound(msgspec.Struct, frozen=True):
    """A token that counts now; the error `invalid_token` (401) instead for any other.

    `grant` is the spender, `app` the client id. `expires_at_s` is Unix seconds, the end of token or grant,
    whichever comes first. `jkt` not empty: the token counts only together with a DPoP proof by the key of
    that thumbprint (RFC 7638), and never as a plain Bearer token.
    """

    grant: str
    app: str
    user: str
    account: str
    scopes: tuple[str, ...]
    expires_at_s: int
    budget: Budget | None = None
    jkt: str = ""


TOKEN_CHECK: Method[TokenCheck, TokenFound] = Method("rpc.oauth.token.check.v1", TokenCheck, TokenFound)
