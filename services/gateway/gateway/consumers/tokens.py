"""What makes access tokens in memory wrong, as the OAuth service tells it.

Core subscriptions, as those of keys: after a lost connection everything is forgotten there.
"""

import logging

import msgspec
from nats.aio.msg import Msg

from common.contracts.oauth import AppDisabled, AppNarrowed, GrantCreated, OAuthEvent
from common.kit.bus import Bus
from gateway.domain.key_cache import KeyCache

_LOG = logging.getLogger(__name__)


async def keep_tokens_current(bus: Bus, cache: KeyCache) -> None:
    """Apply every `oauth.*` event that says something of grants, tokens or apps."""
    decoder = msgspec.json.Decoder(OAuthEvent)

    async def on_event(message: Msg) -> None:
        try:
            apply_oauth_event(cache, decoder.decode(message.data))
        except msgspec.DecodeError:
            _LOG.warning("unreadable event on %s: every cached credential is dropped", message.subject)
            cache.clear()

    for subject in ("oauth.grant.>", "oauth.tokens.>", "oauth.app.>"):
        await bus.subscribe(subject, on_event)


def apply_oauth_event(cache: KeyCache, event: OAuthEvent) -> None:
    """A first grant makes no known token wrong; a change drops the person's, one of the app all it holds."""
    if isinstance(event, AppDisabled | AppNarrowed):
        cache.drop_app(event.app)
    elif not isinstance(event, GrantCreated):
        cache.drop_user(event.user)
