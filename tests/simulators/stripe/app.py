"""The front door under `/stripe`: the API at `/v1`, the hosted pages, and the controls at `/_sim`."""

import asyncio
import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from simulators.stripe.account import API_VERSION, Account, new_id
from simulators.stripe.api import Route, route_of
from simulators.stripe.control import Config, control, read_json
from simulators.stripe.endpoints import register
from simulators.stripe.errors import StripeError, invalid
from simulators.stripe.idempotency import Answer, IdempotencyKeys, Request
from simulators.stripe.pages import hosted_page, invoice_pdf
from simulators.stripe.parameters import parse_form, read_as
from simulators.stripe.requests import CreateEndpoint, Params
from simulators.wire import Connection

KEY_PREFIX = "sk_test_"
FORM = "application/x-www-form-urlencoded"
JSON = (b"content-type", b"application/json")


class Exchange(NamedTuple):
    """A request to the API, its id at Stripe, its idempotency key and the scripted fault that strikes it."""

    connection: Connection
    request_id: str
    key: str | None
    fault: str


class StripeSimulator:
    """Answers under `/stripe`; every secret key opens the same account, kept in memory.

    `webhook`: URL and secret of an endpoint that is there from the start, and until a reset.
    """

    def __init__(self, webhook: tuple[str, str] | None = None) -> None:
        self._reset()
        if webhook is not None:
            url, secret = webhook
            register(self._account, CreateEndpoint(url=url, enabled_events=["*"]), secret)

    async def serve(self, connection: Connection, path: str) -> None:
        """One request; refusals of the API and of the controls are Stripe's error object."""
        if path.startswith("/v1/"):
            await self._api(connection, path.removeprefix("/v1"))
        elif path.startswith("/_sim/"):
            await self._control(connection, path.removeprefix("/_sim"))
        else:
            await self._page(connection, path)

    def _reset(self) -> None:
        self._account = Account()
        self._keys = IdempotencyKeys()
        self._configure(Config())

    def _configure(self, config: Config) -> None:
        self._config = config
        self._faults_left = config.api_times
        self._account.webhooks.sending = config

    def _enter(
        self, connection: Connection, request_id: str | None = None, key: str | None = None
    ) -> Account:
        """The account, told who acts on it; there must be no await between this and the act."""
        self._account.base_url = f"http://{connection.headers.get('host', 'localhost')}/stripe"
        self._account.request = {"id": request_id, "idempotency_key": key}
        return self._account

    async def _api(self, connection: Connection, path: str) -> None:
        key = connection.headers.get("idempotency-key") if connection.method == "POST" else None
        exchange = Exchange(connection, new_id("req", 14), key, self._next_fault())
        try:
            answer = await self._answer(exchange, path)
        except StripeError as error:
            answer = _refusal(error, exchange.request_id)
        if exchange.fault == "lost":
            await connection.cut()
        await connection.respond(answer.status, _headers(exchange, answer), answer.body)

    async def _answer(self, exchange: Exchange, path: str) -> Answer:
        connection, key = exchange.connection, exchange.key
        check_key(connection.headers.get("authorization", ""))
        route, ids = route_of(connection.method, path)
        given = parse_form(await _encoded(connection))
        params = read_as(route.params, given)
        if key is None:
            return await self._execute(exchange, route, params, ids)
        request = Request(f"{connection.method} /v1{path}", given)
        keys = self._keys
        known = keys.begin(key, request)
        if known is not None:
            return known
        try:
            answer = await self._execute(exchange, route, params, ids)
        except BaseException:
            keys.forget(key)
            raise
        keys.finish(key, request, answer)
        return answer

    async def _execute(self, exchange: Exchange, route: Route, params: Params, ids: list[str]) -> Answer:
        if exchange.fault == "slow":
            await asyncio.sleep(self._config.api_delay_s)
        if exchange.fault == "error":
            return _refusal(StripeError(500, "Something went wrong", "api_error"), exchange.request_id)
        account = self._enter(exchange.connection, exchange.request_id, exchange.key)
        try:
            item = route.handler(account, params, *ids)
            return Answer(200, _encode(account.answer(item, params.expand)), exchange.request_id)
        except StripeError as error:
            if not error.began:
                raise
            return _refusal(error, exchange.request_id)

    def _next_fault(self) -> str:
        if self._faults_left < 1:
            return "normal"
        self._faults_left -= 1
        return self._config.api

    async def _control(self, connection: Connection, path: str) -> None:
        body = await connection.read_body()
        try:
            match connection.method, path:
                case "POST", "/reset":
                    self._account.webhooks.close()
                    self._reset()
                    answer: Any = {}
                case "POST", "/config":
                    self._configure(read_json(Config, body))
                    answer = self._config
                case method, _:
                    account = self._enter(connection)
                    answer = await control(account, method, path, connection.query, body)
                    answer = account.view(answer, {})
        except StripeError as error:
            await connection.respond(error.status, [JSON], _encode(error.body))
        else:
            await connection.respond(200, [JSON], _encode(answer))

    async def _page(self, connection: Connection, path: str) -> None:
        form = (await connection.read_body()).decode("utf-8", errors="replace")
        account = self._enter(connection)
        invoice = account.lookup(path.removeprefix("/i/").removesuffix("/pdf"))
        if path.endswith("/pdf") and invoice is not None and invoice["object"] == "invoice":
            await connection.respond(200, [(b"content-type", b"application/pdf")], invoice_pdf(invoice))
            return
        status, html, location = hosted_page(account, connection.method, path, form)
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        if location is not None:
            headers.append((b"location", location.encode("ascii")))
        await connection.respond(status, headers, html.encode())


def check_key(authorization: str) -> None:
    """Any secret test key will do, as a bearer token or as the user of basic auth; raises the 401."""
    scheme, _, given = authorization.partition(" ")
    key = given.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    elif scheme.lower() != "bearer":
        key = ""
    if not key:
        raise StripeError(401, "No API key was provided", began=False)
    if not key.startswith(KEY_PREFIX):
        raise StripeError(401, f"Invalid API Key provided: {key[:3]}****", began=False)


async def _encoded(connection: Connection) -> str:
    body = await connection.read_body()
    content_type = connection.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if body and content_type != FORM:
        raise invalid(f"Parameters are sent as {FORM}, not as {content_type}")
    try:
        return "&".join(filter(None, (connection.query, body.decode())))
    except UnicodeDecodeError as error:
        raise invalid("The parameters are not UTF-8") from error


def _headers(exchange: Exchange, answer: Answer) -> list[tuple[bytes, bytes]]:
    version = exchange.connection.headers.get("stripe-version", API_VERSION)
    headers = [
        JSON,
        (b"request-id", exchange.request_id.encode()),
        (b"stripe-version", version.encode("latin-1")),
    ]
    if exchange.key is not None:
        headers.append((b"idempotency-key", exchange.key.encode("latin-1")))
        headers.append((b"original-request", answer.request_id.encode()))
    if answer.request_id != exchange.request_id:
        headers.append((b"idempotent-replayed", b"true"))
    return headers


def _refusal(error: StripeError, request_id: str) -> Answer:
    return Answer(error.status, _encode(error.body), request_id)


def _encode(answer: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(answer), indent=2)
