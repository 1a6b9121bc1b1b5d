"""What each service may do on the broker: the least it needs, so that a stolen password reaches little.

Every service talks to JetStream, reads replies on its inbox and answers calls (`nats.micro`). The public
event streams may be filled only by the service that owns the facts; no service may delete or purge a stream.
"""

from common.testing.nats import NatsPermissions

_JETSTREAM = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
    "$JS.API.CONSUMER.>",
    "$JS.ACK.>",
    "$JS.FC.>",
)


def _service(
    name: str, *, events: tuple[str, ...] = (), calls: tuple[str, ...] = (), hears: tuple[str, ...] = ()
) -> NatsPermissions:
    """`events` and `calls` are published, `hears` are core subjects received besides its own RPC methods."""
    return NatsPermissions(
        publish=(*_JETSTREAM, *events, *calls),
        subscribe=("_INBOX.>", "$SRV.>", f"rpc.{name}.>", *hears),
        allow_responses=True,
    )


NATS_USERS = {
    "gateway": _service(
        "gateway",
        events=("identity.>", "gateway.groups.changed"),
        calls=("rpc.billing.>",),
        hears=("identity.>", "gateway.groups.changed"),
    ),
    "billing": _service(
        "billing",
        events=("usage.recorded.v1.*", "billing.>", "dlq.>", "$KV.PRICES.>"),
        calls=("rpc.gateway.user.lookup.v1",),
    ),
    "chat-relay": _service(
        "chat-relay",
        events=("intake.usage.*", "relay.channels.changed"),
        calls=("rpc.billing.lease.>",),
        hears=("relay.channels.changed", "billing.lease.recalled.v1.*", "$KV.PRICES.>"),
    ),
    "media-tasks": _service("media-tasks"),
    "oauth": _service("oauth"),
}
