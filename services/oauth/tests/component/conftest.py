"""The OAuth service alone on real PostgreSQL and NATS; the gateway's sessions are a table of the test."""

import asyncio
import os
import sys
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import msgspec
import pytest
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from litestar.datastructures import State

from common.contracts.errors import ServiceError
from common.contracts.identity import (
    SESSION_CHECK,
    USER_GET,
    SessionCheck,
    SessionFound,
    UserGet,
    UserState,
)
from common.contracts.principals import Principal
from common.kit.bus import Bus
from common.kit.db import Database
from common.kit.ids import uuid7
from common.kit.principal import PrincipalSigner
from common.kit.rpc import RpcClient, RpcServer
from common.kit.telemetry import Telemetry
from common.testing.clock import FakeClock
from common.testing.lifespans import running
from common.testing.plugin import DatabaseFactory
from common.testing.server_process import free_port
from oauth.adapters.postgres.store import PostgresStore
from oauth.app import create_app
from oauth.domain.apps import App, AuthMethod
from oauth.domain.codes import challenge_of
from oauth.domain.grants import Grant, Person, Spending
from oauth.domain.proofs import token_hash
from oauth.domain.scopes import SCOPES
from oauth.domain.tokens import (
    CLIENT_SECRET_PREFIX,
    CODE_LIFETIME,
    CODE_PREFIX,
    FAMILY_LIFETIME,
    Code,
    Digester,
    Family,
    generate,
)
from oauth.settings import Settings

ISSUER = "http://127.0.0.1:8080"
KEYS = "k1:a-secret-of-sixteen-bytes"
COOKIE = "tollway_session"
CHARGES = "/oauth/v1/charges"
USD = 1_000_000_000
PEPPER = "pepper-for-the-tests"
REDIRECT_URI = "https://cards.example/back"
VERIFIER = "verifier-of-the-tests-of-at-least-43-characters"
SPENDING = Spending(5_000_000_000, "month", max_charge_nano=500_000_000)
"""5 USD a month, 0.50 USD at once."""


class People:
    """The gateway's side: who is signed in, answered on `rpc.gateway.session.check.v1`."""

    def __init__(self, clock: FakeClock) -> None:
        self.sessions: dict[str, SessionFound] = {}
        self.users: dict[str, UserState] = {}
        self._clock = clock

    def sign_in(self, email: str = "ann@example.com", role: str = "user") -> tuple[str, SessionFound]:
        """A new session: the cookie's value, and who it is."""
        token = uuid7().replace("-", "") + "x" * 11
        found = SessionFound(
            session=uuid7(),
            user=uuid7(),
            account=uuid7(),
            email=email,
            role=role,
            csrf=f"csrf-{uuid7()}",
            expires_at_s=int(self._clock.time()) + 3600,
            auth_time_s=int(self._clock.time()),
        )
        self.sessions[token] = found
        return token, found

    async def get(self, request: UserGet) -> UserState:
        """As the gateway answers; a user is what a test put into `users`."""
        found = self.users.get(request.user)
        if found is None:
            raise ServiceError("No such user.", code="not_found", status=404)
        return found

    async def check(self, request: SessionCheck) -> SessionFound:
        """As the gateway answers."""
        found = self.sessions.get(request.token)
        if found is None:
            raise ServiceError("You are not signed in.", code="not_signed_in", status=401)
        return found


class OAuth:
    """One database, one broker account, as many replicas as a test starts; `http` talks to the newest."""

    def __init__(self, dsn: str, nats_url: str, bus: Bus, stack: AsyncExitStack) -> None:
        self.dsn = dsn
        self.nats_url = nats_url
        self.bus = bus
        self.rpc = RpcClient(bus)
        self.clock = FakeClock()
        self.people = People(self.clock)
        self.stack = stack
        self.http: httpx.AsyncClient
        self.state: State
        self.digester = Digester(PEPPER)
        self._store: PostgresStore | None = None
        self._signer = PrincipalSigner(KEYS)

    async def start_replica(self, **settings: Any) -> httpx.AsyncClient:
        """One more replica, and a client of it that keeps cookies and follows no redirect."""
        values: dict[str, Any] = {
            "port": 1,
            "ops_port": free_port(),
            "database_url": self.dsn,
            "nats_url": self.nats_url,
            "principal_keys": KEYS,
            "issuer": ISSUER,
            "token_pepper": PEPPER,
            "secret_key": "secret-key-for-the-tests",
            "allow_private": True,
            "log_level": "WARNING",
        }
        app = create_app(Settings(**(values | settings)), self.clock.now)
        await self.stack.enter_async_context(running(app))
        self.state = app.state
        transport = httpx.ASGITransport(app=cast("Any", app))
        self.http = await self.stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=ISSUER)
        )
        return self.http

    def owner(self, user: str | None = None, account: str | None = None, *scopes: str) -> dict[str, str]:
        """Headers as the gateway sends them for a person's API key; with the scope `admin` an admin's."""
        principal = Principal(
            account=account or uuid7(),
            user=user or uuid7(),
            spender=uuid7(),
            group="default",
            rate_micro=1_000_000,
            request_id="r-12345678",
            expires_at_s=2**40,
            scopes=("relay", "account", *scopes),
        )
        return {"x-tollway-principal": self._signer.sign(principal).decode()}

    def grantee(self) -> dict[str, str]:
        """Headers of an app that acts for a person, with every scope: more than the gateway would sign."""
        principal = Principal(
            account=uuid7(),
            user=uuid7(),
            spender=uuid7(),
            group="default",
            rate_micro=1_000_000,
            request_id="r-12345678",
            expires_at_s=2**40,
            scopes=("relay", "account", "admin"),
            spender_kind="grant",
            app="cards",
        )
        return {"x-tollway-principal": self._signer.sign(principal).decode()}

    @property
    def store(self) -> PostgresStore:
        """The service's storage, for what a test writes straight into it."""
        if self._store is None:
            database = Database(self.dsn, 4)
            self.stack.push_async_callback(database.close)
            self._store = PostgresStore(database, lambda: None)
        return self._store

    async def app(self, auth_method: AuthMethod = "client_secret_basic", **fields: Any) -> tuple[App, str]:
        """A registered app and its secret (which a public app and one with keys have no use for)."""
        secret, now = generate(CLIENT_SECRET_PREFIX), self.clock.now()
        values: dict[str, Any] = {
            "id": uuid7(),
            "client_id": f"app-{uuid7()}",
            "name": "Cards",
            "auth_method": auth_method,
            "redirect_uris": (REDIRECT_URI,),
            "scopes": tuple(SCOPES),
            "created_at": now,
            "updated_at": now,
        }
        if auth_method.startswith("client_secret"):
            values["secrets"] = (self.digester.digest(secret),)
        app = App(**(values | fields))
        async with self.store.transaction() as work:
            assert await work.apps.add(app)
        return app, secret

    async def code(
        self,
        app: App,
        *scopes: str,
        person: Person | None = None,
        spending: Spending = SPENDING,
        dpop_jkt: str = "",
        nonce: str = "",
    ) -> str:
        """A code as consent makes it, with VERIFIER's challenge; by default for spending and refreshing."""
        now, text = self.clock.now(), generate(CODE_PREFIX)
        wanted = scopes or ("relay", "charge", "offline_access")
        person = person or Person(uuid7(), uuid7(), "ann@example.com")
        async with self.store.transaction() as work:
            await work.people.put(person)
            grant = await work.grants.find_live(app.id, person.user)
            if grant is None:
                grant = Grant(uuid7(), app.id, person.user, wanted, spending, now, now)
                await work.grants.add(grant)
            family = Family(uuid7(), grant.id, wanted, now, now, now + FAMILY_LIFETIME, nonce=nonce)
            await work.tokens.add_family(family)
            digest, challenge = self.digester.digest(text), challenge_of(VERIFIER)
            until = now + CODE_LIFETIME
            await work.tokens.add_code(Code(digest, family.id, REDIRECT_URI, challenge, until, dpop_jkt))
        return text

    async def ask(
        self, path: str, app: App, secret: str = "", /, headers: dict[str, str] | None = None, **form: str
    ) -> httpx.Response:
        """POST a form as the app, which sends its secret in the form when it has one."""
        own = {"client_id": app.client_id} | ({"client_secret": secret} if app.secrets else {})
        return await self.http.post(path, data=own | form, headers=headers)

    async def redeem(
        self, app: App, secret: str, code: str, /, headers: dict[str, str] | None = None, **form: str
    ) -> httpx.Response:
        """The token endpoint's answer to a code that `code` made."""
        values = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        return await self.ask("/oauth/token", app, secret, headers=headers, **(values | form))

    async def tokens(self, app: App, secret: str, *scopes: str, **consent: Any) -> dict[str, Any]:
        """What the token endpoint gives for a code with these scopes; `consent` as `code` takes it."""
        answer = await self.redeem(app, secret, await self.code(app, *scopes, **consent))
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def question(self, app: App, *scopes: str, **parameters: str | None) -> dict[str, str]:
        """An authorization request that is right, with VERIFIER's challenge; None leaves a parameter out."""
        values: dict[str, str | None] = {
            "response_type": "code",
            "client_id": app.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": " ".join(scopes or ("openid",)),
            "state": "state-1",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (values | parameters).items() if value is not None}

    async def visit(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        """GET as the browser of the session with this token; without one nobody is signed in."""
        cookie = {"cookie": f"{COOKIE}={token}"} if token else {}
        headers = cookie | options.pop("headers", {})
        return await self.http.get(path, headers=headers, **options)

    async def decide(
        self, page: str, token: str, csrf: str, decision: str = "allow", **form: str
    ) -> httpx.Response:
        """POST the form of the consent page at this path and query; 5 USD a month unless `form` says more."""
        values = {"request": parse_qs(urlsplit(page).query)["request"][0], "csrf": csrf, "decision": decision}
        terms = {"limit": "5", "period": "month", "timezone": "UTC"}
        headers = {"cookie": f"{COOKIE}={token}"}
        return await self.http.post("/oauth/consent", data=values | terms | form, headers=headers)

    async def authorize(
        self,
        app: App,
        *scopes: str,
        browser: tuple[str, SessionFound] | None = None,
        form: dict[str, str] | None = None,
        **parameters: str | None,
    ) -> str:
        """A code got as people get it: the app asks, the person of `browser` allows it on the page."""
        token, session = browser or self.people.sign_in()
        asked = await self.visit("/oauth/authorize", token, params=self.question(app, *scopes, **parameters))
        assert asked.status_code == 303, asked.text
        page = asked.headers["location"]
        if page.startswith("/"):
            assert (await self.visit(page, token)).status_code == 200
            asked = await self.decide(page, token, session.csrf, **(form or {}))
            assert asked.status_code == 303, asked.text
        told = parse_qs(urlsplit(asked.headers["location"]).query)
        assert "code" in told, told
        return told["code"][0]

    def proof(
        self,
        key: ECKey,
        method: str = "POST",
        path: str = "/oauth/token",
        token: str = "",
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> dict[str, str]:
        """A DPoP header for a request, made now; at a resource for `token`.

        `claims` and `header` replace its own; what is signed is right for them, whatever they say.
        """
        told = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)} | (header or {})
        own = {"jti": uuid7(), "htm": method, "htu": ISSUER + path, "iat": int(self.clock.time())}
        own |= {"ath": token_hash(token)} if token else {}
        parts = [urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=") for part in (told, own | claims)]
        signature = JWSRegistry.algorithms["ES256"].sign(b".".join(parts), key)
        return {"dpop": b".".join([*parts, urlsafe_b64encode(signature).rstrip(b"=")]).decode()}

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The first `count` events of this service, in order."""
        subscription = await self.bus.jetstream.subscribe("oauth.>", ordered_consumer=True)
        messages = [await subscription.next_msg(timeout=10) for _ in range(count)]
        await subscription.unsubscribe()
        return [msgspec.json.decode(message.data) for message in messages]

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """What the database says."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()


class Ledger:
    """A real billing, a process of its own on the test's broker; `rows` asks its database."""

    def __init__(self, dsn: str, http: httpx.AsyncClient) -> None:
        self.dsn = dsn
        self.http = http

    def shop(self, oauth: OAuth) -> "Shop":
        """One more app and person, to be opened."""
        return Shop(oauth, self)

    async def fund(self, account: str, amount: str = "100") -> None:
        """Put USD into a wallet, as an administrator does."""
        answer = await self.http.post("/api/billing/topups", json={"account": account, "amount": amount})
        assert answer.status_code == 201, answer.text

    async def balance(self, account: str) -> str:
        """USD that the account can spend."""
        answer = await self.http.get("/api/billing/wallet", params={"account": account})
        return str(answer.json()["balance"])

    async def owed(self, name: str) -> int:
        """Nano-USD of a ledger account."""
        rows = await self.rows("SELECT credits - debits FROM accounts WHERE name = $1", name)
        return int(rows[0][0]) if rows else 0

    async def prove(self) -> None:
        """Every check of the audit holds."""
        answer = await self.http.post("/api/billing/audit", json={})
        wrong = [check for check in answer.json()["checks"] if not check["ok"]]
        assert not wrong, wrong

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """What its database says."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()


class Shop:
    """An app, a person who allowed it to charge, and the token for that."""

    def __init__(self, oauth: Any, ledger: Any) -> None:
        self.oauth = oauth
        self.ledger = ledger
        self.person = Person(uuid7(), uuid7(), "ann@example.com")
        self.app: Any
        self.token = ""

    async def open(self, balance: str = "100", spending: Spending | None = None, **app: Any) -> "Shop":
        self.app, self.secret = await self.oauth.app(**({"fee_micro": 50_000} | app))
        spending = spending or Spending(50 * USD, "month")
        told = await self.oauth.tokens(self.app, self.secret, "charge", person=self.person, spending=spending)
        self.token = told["access_token"]
        if balance != "0":
            await self.ledger.fund(self.person.account, balance)
        return self

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def ask(
        self, amount: Any = "1", key: str | None = "", http: Any = None, **fields: Any
    ) -> httpx.Response:
        headers = dict(self.headers)
        if key is not None:
            headers["idempotency-key"] = key or uuid7()
        body = {"amount": amount} | fields
        answer: httpx.Response = await (http or self.oauth.http).post(CHARGES, json=body, headers=headers)
        return answer

    async def charge(self, amount: str = "1", **fields: Any) -> dict[str, Any]:
        answer = await self.ask(amount, **fields)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def act(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        headers = self.headers | ({"idempotency-key": key} if key is not None else {})
        answer: httpx.Response = await self.oauth.http.post(
            f"{CHARGES}/{path}", json=body or {}, headers=headers
        )
        return answer

    async def get(self, path: str = "", **params: Any) -> httpx.Response:
        answer: httpx.Response = await self.oauth.http.get(
            f"{CHARGES}{path}", headers=self.headers, params=params
        )
        return answer


@asynccontextmanager
async def billing_process(dsn: str, nats_url: str, headers: dict[str, str]) -> AsyncIterator[Ledger]:
    """Started, ready, and stopped at the end."""
    port, ops_port = free_port(), free_port()
    settings = {
        "port": port,
        "ops_port": ops_port,
        "database_url": dsn,
        "nats_url": nats_url,
        "principal_keys": KEYS,
        "seed_prices": False,
        "log_level": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "common.kit.serve",
        "billing",
        env={**os.environ, **{f"TOLLWAY_{name.upper()}": str(value) for name, value in settings.items()}},
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
        try:
            async with asyncio.timeout(60):
                while not await _is_ready(f"http://127.0.0.1:{ops_port}/readyz", client):
                    assert process.returncode is None, "billing ended"
                    await asyncio.sleep(0.05)  # reason: another process is starting
            yield Ledger(dsn, client)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _is_ready(url: str, client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
async def bare_oauth(database: DatabaseFactory, nats_url: str) -> AsyncIterator[OAuth]:
    """An OAuth without a replica; the gateway's RPC answers."""
    async with AsyncExitStack() as stack:
        bus = await Bus.connect(nats_url, "test")
        stack.push_async_callback(bus.close)
        oauth = OAuth(await database("oauth"), nats_url, bus, stack)
        gateway = RpcServer(bus, "gateway", Telemetry("test", "test-0", "", 0.0))
        gateway.add(SESSION_CHECK, oauth.people.check)
        gateway.add(USER_GET, oauth.people.get)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        yield oauth


@pytest.fixture
async def ledger(bare_oauth: OAuth, database: DatabaseFactory, nats_url: str) -> AsyncIterator[Ledger]:
    """A real billing beside the OAuth of the same test."""
    headers = bare_oauth.owner(None, None, "admin")
    async with billing_process(await database("billing"), nats_url, headers) as ledger:
        yield ledger


@pytest.fixture
async def shop(ledger: Ledger, oauth: OAuth) -> "Shop":
    """An app, and a person with 100 USD who lets it charge 50 a month; the platform's share is 5 %."""
    return await ledger.shop(oauth).open()


@pytest.fixture
def bare_shop(oauth: OAuth) -> "Shop":
    """One to be opened without a billing, where nothing can be charged."""
    return Shop(oauth, None)


@pytest.fixture
async def oauth(bare_oauth: OAuth) -> OAuth:
    """An OAuth with one replica."""
    await bare_oauth.start_replica()
    return bare_oauth
