"""Print `components/nats/nats.conf`: the broker, with the permissions of the suite on one machine.

`python deploy/k8s/nats_config.py > deploy/k8s/components/nats/nats.conf`, after a change of
`tollway.nats_users`; a test compares them. Passwords are variables that `passwords.conf` (a Secret) sets.
"""  # noqa: INP001  a script, in no package

import json
import sys
from collections.abc import Mapping

from common.contracts.streams import BILLING, IDENTITY, OAUTH, TASKS, USAGE
from common.testing.nats import NatsPermissions
from tollway.nats_users import NATS_USERS

PUBLIC_STREAMS = (USAGE, BILLING, TASKS, IDENTITY, OAUTH)

# An internal consumer: reads the public streams through consumers of its own, writes nothing, and has its own
# inbox so that it cannot read the replies of services.
CONSUMER = NatsPermissions(
    publish=(
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        *(
            f"$JS.{verb}.{stream.name}{rest}"
            for stream in PUBLIC_STREAMS
            for verb, rest in (
                ("API.STREAM.INFO", ""),
                ("API.CONSUMER.INFO", ".*"),
                ("API.CONSUMER.CREATE", ".>"),
                ("API.CONSUMER.DURABLE.CREATE", ".*"),
                ("API.CONSUMER.MSG.NEXT", ".*"),
                ("ACK", ".>"),
            )
        ),
    ),
    subscribe=("_INBOX_consumer.>",),
)

_HEAD = """\
# Made by deploy/k8s/nats_config.py from the permission table of the suite; change that, not this.
server_name: nats-0
port: 4222
http_port: 8222
max_payload: 8MB
jetstream: {store_dir: /data, sync_interval: 1s}
include ./passwords.conf
accounts: {
  TOLLWAY: {
    jetstream: enabled
    users: [
"""
_TAIL = "    ]\n  }\n}\n"


def configuration(users: Mapping[str, NatsPermissions]) -> str:
    """The text of nats.conf for these users, one per line."""
    return _HEAD + "".join(_user(name, allowed) for name, allowed in users.items()) + _TAIL


def _user(name: str, allowed: NatsPermissions) -> str:
    permissions = json.dumps(
        {
            "publish": {"allow": list(allowed.publish)},
            "subscribe": {"allow": list(allowed.subscribe)},
            "allow_responses": allowed.allow_responses,
        }
    )
    password = f"${name.replace('-', '_').upper()}_PASSWORD"
    return f'      {{user: "{name}", password: {password}, permissions: {permissions}}}\n'


if __name__ == "__main__":
    sys.stdout.write(configuration({**NATS_USERS, "consumer": CONSUMER}))
