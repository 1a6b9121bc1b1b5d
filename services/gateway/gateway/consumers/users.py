"""The questions other services ask about people."""

from common.contracts.identity import USER_LOOKUP, UserFound, UserLookup
from common.kit.rpc import RpcServer
from gateway.domain.ports import Identity
from gateway.usecases.users import find_user


def serve_users(server: RpcServer, identity: Identity) -> None:
    """Answer `rpc.gateway.user.lookup.v1`; an unknown address is the error `not_found`."""

    async def look_up(request: UserLookup) -> UserFound:
        return await find_user(identity, request.email)

    server.add(USER_LOOKUP, look_up)
