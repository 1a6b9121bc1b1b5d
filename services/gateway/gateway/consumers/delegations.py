"""Management keys in the hands of OAuth apps: made when the OAuth service asks, ended with the grant."""

from functools import partial

import msgspec

from common.contracts.identity import KEY_DELEGATE, KeyDelegate, KeyDelegated
from common.contracts.oauth import GrantRevoked
from common.contracts.streams import OAUTH
from common.kit.bus import Bus
from common.kit.consumer import DurableConsumer
from common.kit.rpc import RpcServer
from gateway.domain.keys import KeyHasher
from gateway.domain.ports import Identity
from gateway.usecases.delegations import delegate_key, end_delegations

DURABLE = "gateway-delegations"


def serve_delegations(server: RpcServer, identity: Identity, hasher: KeyHasher) -> None:
    """Answer `rpc.gateway.key.delegate.v1`."""

    async def delegate(request: KeyDelegate) -> KeyDelegated:
        return await delegate_key(identity, hasher, request)

    server.add(KEY_DELEGATE, delegate)


def delegation_consumer(bus: Bus, identity: Identity) -> DurableConsumer[GrantRevoked]:
    """One durable for all replicas: no revoked grant is missed, whoever was away."""
    handle = partial(end_delegations, identity)
    decode = msgspec.json.Decoder(GrantRevoked).decode
    return DurableConsumer(bus, OAUTH, DURABLE, decode, handle, subject="oauth.grant.revoked.v1.*")
