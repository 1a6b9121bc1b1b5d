"""The public URL space: which service answers a path, and in which protocol's shape errors are told.

A service contributes its rows here and the gateway routes by them; longest prefix wins. What is not listed
is answered 404 by the gateway itself.
"""

from typing import Literal

import msgspec

Service = Literal["gateway", "billing", "chat-relay", "media-tasks", "oauth"]
Protocol = Literal["openai", "anthropic", "gemini", "midjourney", "problem", "oauth"]


PUBLIC = "public"


class Route(msgspec.Struct, frozen=True):
    """`path` matches itself and everything below it, or only itself when `exact`.

    `scope` is what the key must have. PUBLIC needs no key: the service proves its caller by other means, and
    the gateway hands on no principal.

    `cors`: scripts of any origin may call, and then no cookie reaches the service. Pages for people are
    without it (RFC 9700 section 2.6). `throttled`: requests are limited per address, as anybody may send one.
    """

    path: str
    service: Service
    protocol: Protocol = "openai"
    scope: str = "relay"
    exact: bool = False
    cors: bool = True
    throttled: bool = False


ROUTES: tuple[Route, ...] = (
    Route("/v1/chat/completions", "chat-relay", exact=True),
    Route("/chat/completions", "chat-relay", exact=True),
    Route("/v1/embeddings", "chat-relay", exact=True),
    Route("/embeddings", "chat-relay", exact=True),
    Route("/v1/models", "chat-relay"),
    Route("/models", "chat-relay"),
    Route("/api/channels", "chat-relay", "problem", scope="admin"),
    Route("/api/billing", "billing", "problem", scope="account"),
    Route("/events", "billing", "problem", scope="account"),
    Route("/api/oauth", "oauth", "problem", scope="account"),
    Route("/oauth", "oauth", "oauth", scope=PUBLIC, cors=False),
    Route("/oauth/authorize", "oauth", "oauth", scope=PUBLIC, exact=True, cors=False, throttled=True),
    Route("/oauth/device", "oauth", "oauth", scope=PUBLIC, cors=False, throttled=True),
    Route("/oauth/par", "oauth", "oauth", scope=PUBLIC, exact=True, throttled=True),
    Route("/oauth/token", "oauth", "oauth", scope=PUBLIC, exact=True, throttled=True),
    Route("/oauth/device_authorization", "oauth", "oauth", scope=PUBLIC, exact=True, throttled=True),
    Route("/oauth/introspect", "oauth", "oauth", scope=PUBLIC, exact=True),
    Route("/oauth/revoke", "oauth", "oauth", scope=PUBLIC, exact=True),
    Route("/oauth/userinfo", "oauth", "oauth", scope=PUBLIC, exact=True),
    Route("/oauth/v1", "oauth", "problem", scope=PUBLIC),
    Route("/auth", "oauth", "oauth", scope=PUBLIC, exact=True, cors=False, throttled=True),
    Route("/api/v1/auth/keys", "oauth", scope=PUBLIC, exact=True, throttled=True),
    Route("/api/v1/auth/keys/code", "oauth", scope="account", exact=True),
    Route("/next/v1/oauth", "oauth", "oauth", scope=PUBLIC, cors=False, throttled=True),
    Route("/api/v1/user/oauth", "oauth", "problem", scope=PUBLIC),
    Route("/api/v1/user/oauth/issue-token", "oauth", "problem", scope=PUBLIC, exact=True, throttled=True),
    Route("/.well-known/oauth-authorization-server", "oauth", "oauth", scope=PUBLIC),
    Route("/.well-known/openid-configuration", "oauth", "oauth", scope=PUBLIC),
    Route("/.well-known/jwks.json", "oauth", "oauth", scope=PUBLIC, exact=True),
    Route("/webhooks/stripe", "billing", "problem", scope=PUBLIC, exact=True),
    Route("/api", "gateway", "problem", scope="account"),
    Route("/login", "gateway", "problem", scope=PUBLIC, cors=False, throttled=True),
)


def route_for(path: str) -> Route | None:
    """The row that serves `path`, or None. O(number of path segments)."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    probe = path
    while probe:
        row = _PREFIX.get(probe)
        if row is not None:
            return row
        probe = probe.rpartition("/")[0]
    return None


_EXACT = {row.path: row for row in ROUTES}
_PREFIX = {row.path: row for row in ROUTES if not row.exact}
