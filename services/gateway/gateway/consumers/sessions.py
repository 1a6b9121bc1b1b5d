"""The question other services ask about a session cookie."""

from common.contracts.identity import SESSION_CHECK, SessionCheck, SessionFound
from common.kit.rpc import RpcServer
from gateway.domain.sessions import SessionTokens
from gateway.usecases.sessions import Sessions


def serve_sessions(server: RpcServer, sessions: Sessions, tokens: SessionTokens) -> None:
    """Answer `rpc.gateway.session.check.v1`; a session that is none is the error `not_signed_in`."""

    async def check(request: SessionCheck) -> SessionFound:
        found = await sessions.find(request.token)
        user, session = found.user, found.session
        return SessionFound(
            session=session.id,
            user=user.id,
            account=user.account,
            email=user.email,
            role=user.role,
            csrf=tokens.csrf(request.token),
            expires_at_s=int(session.expires_at.timestamp()),
            auth_time_s=int(session.created_at.timestamp()),
        )

    server.add(SESSION_CHECK, check)
