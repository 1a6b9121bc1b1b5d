"""The questions other services ask about people."""

from uuid import UUID

from common.contracts.errors import NotFoundError
from common.contracts.identity import USER_GET, USER_LOOKUP, UserFound, UserGet, UserLookup, UserState
from common.kit.rpc import RpcServer
from gateway.domain.ports import Identity
from gateway.usecases.users import find_user, get_user


def serve_users(server: RpcServer, identity: Identity) -> None:
    """Answer `rpc.gateway.user.lookup.v1` and `rpc.gateway.user.get.v1`; nobody is the error `not_found`."""

    async def look_up(request: UserLookup) -> UserFound:
        return await find_user(identity, request.email)

    async def get(request: UserGet) -> UserState:
        try:
            user = await get_user(identity, str(UUID(request.user)))
        except ValueError:
            raise NotFoundError("No such user.") from None
        return UserState(user.id, user.account, user.email, user.enabled)

    server.add(USER_LOOKUP, look_up)
    server.add(USER_GET, get)
