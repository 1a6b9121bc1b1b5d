"""The front: what every request passes before anything answers it.

Request id, CORS, route, credential, scope, address and limits, in this order; then the request goes to the
service of its route with the signed principal, or to the management controllers of the gateway itself.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from opentelemetry.trace import SpanKind

from common.contracts.errors import ForbiddenError, NotFoundError, ServiceError
from common.contracts.principals import Limits, Principal
from common.contracts.routes import PUBLIC, Protocol, Route, route_for
from common.kit.asgi import ClientGoneError, Message, Receive, Scope, Send, send_response
from common.kit.errors import render_error
from common.kit.ids import uuid7
from common.kit.logs import request_id_var
from common.kit.metrics import IN_FLIGHT, RequestMetrics
from common.kit.principal import PRINCIPAL_HEADER, PRINCIPAL_TTL_S, PrincipalSigner
from common.kit.telemetry import Telemetry, inject
from gateway.domain.addresses import Address, Network, client_address, contains, sender_of
from gateway.domain.credentials import split_query_key
from gateway.domain.errors import AnswerCutError, InsufficientScopeError, InvalidTokenError
from gateway.domain.headers import Inbound, read_headers
from gateway.domain.keys import KeyFacts
from gateway.domain.limits import Limiter, LimitExceededError
from gateway.domain.ports import Services
from gateway.domain.proofs import Proofs
from gateway.domain.tokens import TOKEN_SCOPES
from gateway.routes.challenges import challenge
from gateway.routes.cors import CORS_HEADERS, answer_preflight
from gateway.routes.proxy import CLIENT_GONE, Forwarding, forward, read_whole
from gateway.usecases.authentication import Authenticator

_LOG = logging.getLogger(__name__)
_WELCOME = b'{"name":"Tollway","api":"/v1"}'

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Exchange(msgspec.Struct):
    """One request on its way through the front. `headers` go on every answer; `status` 0 until one begins."""

    scope: Scope
    inbound: Inbound
    request_id: str
    route: Route | None
    headers: list[tuple[bytes, bytes]]
    status: int = 0

    @property
    def protocol(self) -> Protocol:
        """In whose shape errors are told; Anthropic's clients share OpenAI's paths and say who they are."""
        protocol = self.route.protocol if self.route else "openai"
        if protocol == "openai" and self.inbound.header(b"anthropic-version"):
            return "anthropic"
        return protocol


class Admission(msgspec.Struct, frozen=True):
    """How many are let in, and from where.

    `keys` counts by key, `public` by address: at most `public_rpm` a minute on each throttled route, 0
    for no bound. `trusted_proxies` are believed when they tell an address.
    """

    keys: Limiter
    public: Limiter
    public_rpm: int
    trusted_proxies: Sequence[Network]

    def count_public(self, route: Route, address: Address | None) -> None:
        """LimitExceededError when the address sends too many."""
        limits = Limits(rpm=self.public_rpm)
        sender = f"{route.path} {sender_of(address)}"
        self.public.enter(sender, limits)
        self.public.leave(sender, limits)


class Front:
    """ASGI application that stands before the management application and the services."""

    def __init__(
        self,
        authenticator: Authenticator,
        proofs: Proofs,
        admission: Admission,
        signer: PrincipalSigner,
        services: Services,
        telemetry: Telemetry,
        management: Asgi,
    ) -> None:
        self._authenticator = authenticator
        self._proofs = proofs
        self._admission = admission
        self._limiter = admission.keys
        self._signer = signer
        self._services = services
        self._telemetry = telemetry
        self._management = management
        self._metrics = RequestMetrics()
        self._in_flight = 0
        IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an answer that breaks off is left without its end."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        started_s = time.perf_counter()
        inbound = read_headers(scope["headers"])
        request_id = inbound.request_id or uuid7()
        request_id_var.set(request_id)
        route = route_for(scope["path"])
        headers = [(b"x-request-id", request_id.encode())]
        if route is None or route.cors:
            if scope["method"] == "OPTIONS":
                await answer_preflight(scope["headers"], send, headers)
                return
            headers += CORS_HEADERS
        exchange = Exchange(scope, inbound, request_id, route, headers)
        label = exchange.route.path if exchange.route else "unmatched"
        self._in_flight += 1
        try:
            await self._answer(exchange, receive, send)
        finally:
            self._in_flight -= 1
            self._metrics.observe(label, exchange.status or 500, time.perf_counter() - started_s)
            level = logging.INFO if exchange.status >= 500 else logging.DEBUG
            _LOG.log(level, "%s %s answered %d", scope["method"], label, exchange.status)

    async def _answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        try:
            if self._telemetry.enabled:
                await self._serve_traced(exchange, receive, send)
            else:
                await self._serve(exchange, receive, send)
        except AnswerCutError as error:
            # An answer that is left open makes the server close the connection: nobody takes it for whole.
            exchange.status = 502
            _LOG.warning("an answer broke off: %s", error)
        except ServiceError as error:
            await self._refuse(exchange, error, send)
        except Exception:
            if exchange.status:
                raise
            _LOG.exception("unhandled error on %s", exchange.scope["path"])
            await self._refuse(exchange, ServiceError("Internal error."), send)

    async def _serve_traced(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        route = exchange.route.path if exchange.route else "unmatched"
        method = exchange.scope["method"]
        parent = exchange.inbound.header(b"traceparent")
        with self._telemetry.span(
            f"{method} {route}",
            SpanKind.SERVER,
            None if parent is None else parent.decode("latin-1"),
            **{"http.request.method": method, "http.route": route, "tollway.request_id": exchange.request_id},
        ) as span:
            carrier: dict[str, str] = {}
            inject(carrier)
            ours = [(name.encode(), value.encode()) for name, value in carrier.items()]
            names = {name for name, _ in ours}
            kept = [pair for pair in exchange.inbound.forward if pair[0] not in names]
            exchange.inbound.forward = kept + ours
            await self._serve(exchange, receive, send)
            span.set_attribute("http.response.status_code", exchange.status)

    async def _serve(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        scope, inbound, route = exchange.scope, exchange.inbound, exchange.route
        if route is None:
            await self._serve_unrouted(exchange, send)
            return
        if route.scope == PUBLIC:
            await self._serve_public(exchange, route, receive, send)
            return
        query_key, query = split_query_key(scope["query_string"])
        facts = await self._authenticator.authenticate(inbound.key or query_key)
        self._check_allowed(facts, route, exchange)
        if facts.jkt or (facts.app and inbound.by_proof):
            self._check_proof(facts, exchange)
        try:
            limit_headers = self._limiter.enter(facts.key, facts.limits)
        except LimitExceededError as error:
            exchange.headers += error.headers
            raise
        try:
            exchange.headers += limit_headers
            if route.service == "gateway":
                await self._manage(exchange, facts, query, receive, send)
                return
            inbound.forward.append((PRINCIPAL_HEADER, self._sign(facts, exchange.request_id)))
            await self._forward(exchange, route, query, receive, send)
        finally:
            self._limiter.leave(facts.key, facts.limits)

    async def _serve_public(self, exchange: Exchange, route: Route, receive: Receive, send: Send) -> None:
        """A page, a webhook or an app's own request: no key is looked at, and no principal handed on.

        Cookies reach pages only, and what an app says who it is only the OAuth service.
        """
        scope, inbound = exchange.scope, exchange.inbound
        if route.throttled and self._admission.public_rpm:
            self._admission.count_public(route, self._client_address(exchange))
        try:
            receive = await read_whole(receive, inbound.length)
        except ClientGoneError:
            exchange.status = CLIENT_GONE
            return
        if not route.cors:
            inbound.forward += inbound.cookies
        if route.service == "gateway":
            scope["state"]["client_address"] = str(self._client_address(exchange))
            await self._manage(exchange, None, scope["query_string"], receive, send)
            return
        if route.service == "oauth":
            inbound.forward += inbound.authorization + inbound.proofs
        await self._forward(exchange, route, scope["query_string"], receive, send)

    async def _forward(
        self, exchange: Exchange, route: Route, query: bytes, receive: Receive, send: Send
    ) -> None:
        scope, inbound = exchange.scope, exchange.inbound
        target = scope["raw_path"] + b"?" + query if query else scope["raw_path"]
        inbound.forward.append((b"x-request-id", exchange.request_id.encode()))
        forwarding = Forwarding(
            route.service, scope["method"], target, inbound.forward, inbound.length, exchange.headers
        )
        try:
            await forward(self._services, forwarding, receive, send)
        finally:
            exchange.status = forwarding.status

    def _check_allowed(self, facts: KeyFacts, route: Route, exchange: Exchange) -> None:
        if route.scope not in facts.scopes:
            if facts.app:
                raise InsufficientScopeError(
                    f"This access token was not granted the scope `{route.scope}`.",
                    route.scope if route.scope in TOKEN_SCOPES else "",
                )
            raise ForbiddenError(f"This key lacks the scope `{route.scope}`.")
        if facts.networks is not None and not contains(facts.networks, self._client_address(exchange)):
            raise ForbiddenError("This key may not be used from your address.", code="ip_not_allowed")

    def _check_proof(self, facts: KeyFacts, exchange: Exchange) -> None:
        """A token that is bound to a key comes with a proof, and no other pretends to (RFC 9449 7)."""
        inbound, scope = exchange.inbound, exchange.scope
        if not facts.jkt:
            raise InvalidTokenError("This access token is not bound to a key: send it as a Bearer token.")
        if not inbound.by_proof or inbound.key is None:
            message = "This access token is bound to a key: send it under the scheme DPoP with a proof."
            raise InvalidTokenError(message, bound=True)
        proofs = [value for _, value in inbound.proofs]
        self._proofs.check(proofs, scope["method"], scope["raw_path"], inbound.key, facts.jkt)

    def _client_address(self, exchange: Exchange) -> Address | None:
        client = exchange.scope.get("client") or ("", 0)
        return client_address(client[0], exchange.inbound.forwarded_for, self._admission.trusted_proxies)

    def _sign(self, facts: KeyFacts, request_id: str) -> bytes:
        principal = Principal(
            account=facts.account,
            user=facts.user,
            spender=facts.key,
            group=facts.group,
            rate_micro=facts.rate_micro,
            request_id=request_id,
            expires_at_s=int(time.time()) + PRINCIPAL_TTL_S,
            scopes=facts.scopes,
            models=facts.allowed_models,
            limits=facts.limits,
            spender_kind=facts.spender_kind,
            app=facts.app,
        )
        return self._signer.sign(principal)

    async def _manage(
        self, exchange: Exchange, facts: KeyFacts | None, query: bytes, receive: Receive, send: Send
    ) -> None:
        """Let the controllers answer; they see who calls in the scope's state, and no credential."""
        scope = exchange.scope
        kept = [pair for pair in scope["headers"] if pair[0] in (b"host", b"content-length")]
        scope["headers"] = [*kept, *exchange.inbound.forward, (b"x-request-id", exchange.request_id.encode())]
        scope["query_string"] = query
        scope["state"]["caller"] = facts

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                own = {name for name, _ in exchange.headers}
                kept = [pair for pair in message["headers"] if pair[0].lower() not in own]
                message["headers"] = [*kept, *exchange.headers]
            await send(message)

        await self._management(scope, receive, send_marked)

    async def _serve_unrouted(self, exchange: Exchange, send: Send) -> None:
        path = exchange.scope["path"]
        if path == "/":
            exchange.status = 200
            kind = (b"content-type", b"application/json")
            length = (b"content-length", b"%d" % len(_WELCOME))
            await send_response(send, 200, [kind, length, *exchange.headers], _WELCOME)
            return
        if path.startswith("/v1/v1"):
            message = "The base URL contains /v1 twice: remove one of them."
            raise NotFoundError(message, code="unknown_url")
        raise NotFoundError(
            f"Unknown request URL: {exchange.scope['method']} {path[:200]}.", code="unknown_url"
        )

    async def _refuse(self, exchange: Exchange, error: ServiceError, send: Send) -> None:
        exchange.status, headers, body = render_error(exchange.protocol, error, exchange.request_id)
        if exchange.scope["method"] == "HEAD":
            body = b""
        kept = [pair for pair in headers if pair[0] != b"x-request-id"]
        await send_response(send, exchange.status, [*kept, *challenge(error), *exchange.headers], body)
