"""Token checks over RPC."""

from common.contracts.oauth import TOKEN_CHECK
from common.kit.rpc import RpcServer
from oauth.tokens.usecases.checks import TokenChecks


def add_token_methods(server: RpcServer, checks: TokenChecks) -> None:
    """Serve `rpc.oauth.token.check.v1`."""
    server.add(TOKEN_CHECK, checks.check)
