"""What each service may do on the broker: the least it needs, so that a stolen password reaches little.

Every service talks to JetStream, reads replies on its inbox and answers calls (`nats.micro`). The public
event streams may be filled only by the service that owns the facts; no service may delete or purge a stream.
"""

from common.testing.nats import NatsPermissions

Subjects = tuple[str, ...]

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


def _service(name: str, *, publishes: Subjects = (), hears: Subjects = ()) -> NatsPermissions:
    """`publishes`: its events, notices and calls; `hears`: core subjects besides its own RPC methods."""
    return NatsPermissions(
        publish=(*_JETSTREAM, *publishes),
        subscribe=(f"_INBOX_{name}.>", "$SRV.>", f"rpc.{name}.>", *hears),
        allow_responses=True,
    )


NATS_USERS = {
    "gateway": _service(
        "gateway",
        publishes=("identity.>", "gateway.groups.changed", "dlq.>", "rpc.oauth.token.check.v1"),
        hears=("identity.>", "oauth.>", "gateway.groups.changed"),
    ),
    "billing": _service(
        "billing",
        publishes=(
            "usage.recorded.v1.*",
            "billing.>",
            "dlq.>",
            "$KV.PRICES.>",
            "$KV.PLANS.>",
            "rpc.gateway.user.lookup.v1",
        ),
    ),
    "chat-relay": _service(
        "chat-relay",
        publishes=("intake.usage.*", "relay.channels.changed", "rpc.billing.lease.>"),
        hears=("relay.channels.changed", "billing.lease.recalled.v1.*"),
    ),
    "media-tasks": _service("media-tasks", publishes=("rpc.billing.hold.>",)),
    "oauth": _service(
        "oauth",
        publishes=("oauth.>", "dlq.>", "rpc.billing.>", "rpc.gateway.session.>", "rpc.gateway.user.>"),
    ),
}
