"""The suite on one machine: who starts what, who waits for whom, and who is told what.

postgres ─┬─▶ billing        the five start at once: none needs another to start;
nats ─────┼─▶ chat-relay     they stop in reverse: the gateway first, so that streams finish,
          ├─▶ media-tasks    then those behind it, then billing, which books what they used,
          ├─▶ oauth          then the broker and the database
          └─▶ gateway
simulators                   stand-ins for the vendors: no account is needed for a first run
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from common.contracts.bootstrap import Bootstrap
from common.testing.nats import EVERYTHING, EmbeddedNats
from common.testing.passwords import PasswordFile
from common.testing.postgres import EmbeddedPostgres
from common.testing.server_process import LOCALHOST, free_port
from tollway import demo
from tollway.child import ChildProcess, service_lacks, simulators_lack
from tollway.nats_users import NATS_USERS
from tollway.state import PROJECT, DataDir, ServiceState, State
from tollway.supervisor import Member

OPERATOR = "operator"
SECRETS = (
    "admin_key",
    "code_pepper",
    "demo_app_secret",
    "demo_key",
    "demo_password",
    "key_pepper",
    "oauth_key",
    "principal_key",
    "secret_key",
    "stripe_webhook",
    "token_pepper",
    "webhook_key",
)


@dataclass(frozen=True)
class Service:
    """One of the five, with the ports it has for this run."""

    name: str
    stops_after: tuple[str, ...] = ("gateway",)
    migrates: bool = True
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)

    @property
    def package(self) -> str:
        """Import name; its database and that database's role have it too."""
        return self.name.replace("-", "_")


class SuitePostgres(EmbeddedPostgres):
    """Ready means: with a database and a role for each of `databases`."""

    databases: tuple[str, ...] = ()

    def start(self) -> None:
        """As EmbeddedPostgres, then the databases; ServerError."""
        super().start()
        for name in self.databases:
            self.ensure_database(name, name)


class Suite:
    """All that runs on one data directory, which exists and is locked. Nothing is started here.

    `bootstrap` is the file every service applies: `config`, or without one the demo's, which is written.
    """

    def __init__(
        self,
        data_dir: DataDir,
        port: int,
        config: Path | None,
        *,
        simulators: bool,
        environ: Mapping[str, str],
    ) -> None:
        self._data_dir = data_dir
        self._secrets = PasswordFile(data_dir.secrets_path)
        self._secrets.ensure(*SECRETS)
        self.simulators_url = f"http://{LOCALHOST}:{free_port()}" if simulators else ""
        self.demo_key = f"sk-demo-{self._secrets.get('demo_key')}"
        password, app_secret = self._secrets.get("demo_password"), self._secrets.get("demo_app_secret")
        told = demo.variables(self.demo_key, password, app_secret, self.simulators_url, environ)
        self.environ = {**environ, **told}
        self._is_demo = config is None
        self.bootstrap = config or demo.write(data_dir.path / "demo.toml", self.environ)
        self.services = (
            Service("billing", stops_after=("gateway", "chat-relay", "media-tasks", "oauth")),
            Service("chat-relay"),
            Service("media-tasks", migrates=False),
            Service("oauth"),
            Service("gateway", stops_after=(), port=port),
        )
        self.gateway_url = f"http://{LOCALHOST}:{port}"
        self.postgres = SuitePostgres(data_dir.path / "postgres")
        self.postgres.databases = tuple(service.package for service in self.services)
        self.nats = EmbeddedNats(data_dir.path / "nats", users={**NATS_USERS, OPERATOR: EVERYTHING})

    def members(self) -> list[Member]:
        """Every part with its place in the order of starting and stopping."""
        names = tuple(service.name for service in self.services)
        members = [
            Member("postgres", self.postgres, stops_after=names),
            Member("nats", self.nats, stops_after=names),
        ]
        if self.simulators_url:
            members.append(Member("simulators", self._simulators(), stops_after=("chat-relay",)))
        for service in self.services:
            child = ChildProcess(
                service.name,
                [sys.executable, "-m", "common.kit.serve", service.package],
                self._data_dir.logs / f"{service.name}.log",
                partial(self._environment, service),
                partial(service_lacks, service.port, service.ops_port),
            )
            members.append(Member(service.name, child, ("postgres", "nats"), service.stops_after))
        return members

    def first_key(self, bootstrap: Bootstrap) -> str:
        """The first API key the file states, for the snippets; empty when it states none."""
        return next((key.secret for user in bootstrap.users for key in user.keys if key.secret), "")

    def first_person(self, bootstrap: Bootstrap) -> str:
        """Who can sign in on the pages, for the demo; empty with a configuration of one's own."""
        if not self._is_demo:
            return ""
        return f"{bootstrap.users[0].email}  password {self.environ['DEMO_PASSWORD']}"

    def state(self, pid: int, members: list[Member]) -> State:
        """What scripts may know once all are ready; `pid` is the supervisor's."""
        pids = {member.name: member.part.pid for member in members}
        services = {
            service.name: ServiceState(
                f"http://{LOCALHOST}:{service.port}",
                f"http://{LOCALHOST}:{service.ops_port}",
                pids[service.name],
            )
            for service in self.services
        }
        postgres, nats = self.postgres.dsn(), self.nats.url(OPERATOR)
        return State(self.gateway_url, services, postgres, nats, self.simulators_url, pid, pids)

    def _simulators(self) -> ChildProcess:
        port = self.simulators_url.rpartition(":")[2]
        return ChildProcess(
            "simulators",
            [sys.executable, "-m", "simulators", "--port", port],
            self._data_dir.logs / "simulators.log",
            lambda: {
                **self.environ,
                "PYTHONPATH": str(PROJECT / "tests"),
                "STRIPE_WEBHOOK_URL": f"{self.gateway_url}/webhooks/stripe",
                "STRIPE_WEBHOOK_SECRET": f"whsec_{self._secrets.get('stripe_webhook')}",
            },
            partial(simulators_lack, self.simulators_url),
        )

    def _payments(self) -> dict[str, str]:
        """Codes and payments; Stripe is the simulator unless the environment has a key of the real one."""
        told = {"TOLLWAY_CODE_PEPPER": self._secrets.get("code_pepper")}
        told |= {
            "TOLLWAY_PAYMENT_RETURN_URL": self.environ.get("TOLLWAY_PAYMENT_RETURN_URL", self.gateway_url)
        }
        if self.simulators_url and not self.environ.get("TOLLWAY_STRIPE_API_KEY"):
            told |= {
                "TOLLWAY_STRIPE_API_KEY": "sk_test_simulated",
                "TOLLWAY_STRIPE_API_BASE": f"{self.simulators_url}/stripe",
                "TOLLWAY_STRIPE_WEBHOOK_SECRETS": f"whsec_{self._secrets.get('stripe_webhook')}",
            }
        return told

    def _environment(self, service: Service) -> dict[str, str]:
        """What a service is told; the addresses of database and broker are known once these have started."""
        secret = self._secrets.get
        urls = {other.name: f"http://{LOCALHOST}:{other.port}" for other in self.services}
        issuer = self.environ.get("TOLLWAY_ISSUER", self.gateway_url)
        own = {
            "gateway": {
                "TOLLWAY_KEY_PEPPER": secret("key_pepper"),
                "TOLLWAY_ADMIN_KEY": secret("admin_key"),
                "TOLLWAY_GENERATED_KEYS_FILE": str(self._data_dir.generated_keys_path),
                "TOLLWAY_CHAT_RELAY_URL": urls["chat-relay"],
                "TOLLWAY_BILLING_URL": urls["billing"],
                "TOLLWAY_MEDIA_TASKS_URL": urls["media-tasks"],
                "TOLLWAY_OAUTH_URL": urls["oauth"],
                "TOLLWAY_PUBLIC_URL": self.environ.get("TOLLWAY_PUBLIC_URL", issuer),
            },
            "chat-relay": {"TOLLWAY_SECRET_KEY": secret("secret_key")},
            "billing": {
                **self._payments(),
                "TOLLWAY_SECRET_KEY": secret("webhook_key"),
                "TOLLWAY_WEBHOOKS_ALLOW_PRIVATE": "true",
            },
            "oauth": {
                "TOLLWAY_ISSUER": issuer,
                "TOLLWAY_TOKEN_PEPPER": secret("token_pepper"),
                "TOLLWAY_SECRET_KEY": secret("oauth_key"),
                "TOLLWAY_ALLOW_PRIVATE": "true",
            },
        }
        return {
            **self.environ,
            "TOLLWAY_PORT": str(service.port),
            "TOLLWAY_OPS_PORT": str(service.ops_port),
            "TOLLWAY_DATABASE_URL": self.postgres.dsn(service.package, service.package),
            "TOLLWAY_NATS_URL": self.nats.url(service.name),
            "TOLLWAY_PRINCIPAL_KEYS": f"k1:{secret('principal_key')}",
            "TOLLWAY_BOOTSTRAP": str(self.bootstrap.absolute()),
            "TOLLWAY_MIGRATE": "true" if service.migrates else "false",
            "TOLLWAY_REPLICA": f"{service.name}-0",
            "PYTHONSAFEPATH": "1",  # the working directory is /, which is no place to import from
            **own.get(service.name, {}),
        }
