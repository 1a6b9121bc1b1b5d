"""The suite of the apphost under a supervisor that restarts what was killed, as Kubernetes would.

`tollway up` restarts nothing on purpose, so it cannot serve here; its parts and their environment do.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from chaos.checks import Wallet
from chaos.faults import Fault, Outage
from chaos.proxy import Proxies
from common.testing.server_process import ServerError, free_port
from e2e.suite import Operator, write_config
from simulators.process import running_simulator
from tollway.apphost import Service, Suite
from tollway.child import obituary
from tollway.state import DataDir

VICTIMS = ("chat-relay", "billing", "nats", "postgres", "gateway")
LINKS = tuple(
    f"{part}>{server}" for part in ("chat-relay", "billing", "gateway") for server in ("postgres", "nats")
)
MODELS = (
    "gpt-4o-mini",
    "sim-slow-first-byte-150ms",
    "sim-tokens-40+slow-chunks-10ms",
    "sim-tokens-120+slow-chunks-10ms",
    "sim-no-usage",
    "sim-dead",
)
LEASE_TTL_S = 2.0
RESTART_TIMEOUT_S = 60.0
RESTART_PAUSE_S = 0.3


class ProxiedSuite(Suite):
    """The apphost's suite, whose services reach PostgreSQL and NATS through proxies."""

    proxies: Proxies

    def _environment(self, service: Service) -> dict[str, str]:
        environment = super()._environment(service)
        for variable, server in (("TOLLWAY_DATABASE_URL", "postgres"), ("TOLLWAY_NATS_URL", "nats")):
            link = self.proxies.links.get(f"{service.name}>{server}")
            if link is not None:
                url = urlsplit(environment[variable])
                there = f"{url.netloc.rpartition(':')[0]}:{link.port}"
                environment[variable] = url._replace(netloc=there).geturl()
        return environment


class SupervisedSuite:
    """A running suite whose parts may be killed; `operator` speaks to it, `simulator` is its upstream.

    `closed` are the wallets of the last round, which nothing may change any more, `topped_up` is all money
    that ever came in (USD).
    """

    def __init__(self, data_dir: Path, simulator: str) -> None:
        layout = DataDir(data_dir)
        layout.create()
        config = data_dir / "chaos.toml"
        write_config(config, simulator, MODELS)
        environ = {**os.environ, "TOLLWAY_LEASE_TTL_S": f"{LEASE_TTL_S:g}"}
        suite = ProxiedSuite(layout, free_port(), config, simulators=False, environ=environ)
        self._proxies = suite.proxies = Proxies()
        self._proxies.start()
        for name in LINKS:
            self._proxies.add(name, suite.postgres if name.endswith(">postgres") else suite.nats)
        self._members = {member.name: member for member in suite.members() if member.name in VICTIMS}
        # A thread per part: the kernel signals a child when the thread that started it ends.
        self._pool = ThreadPoolExecutor(len(self._members), thread_name_prefix="part")
        self._menders = ThreadPoolExecutor(len(VICTIMS) + len(LINKS), thread_name_prefix="mender")
        self._restarts: dict[str, Future[Outage]] = {}
        self._mending: list[Future[Outage]] = []
        self._ending = threading.Event()
        self._postgres = suite.postgres
        self.closed: Sequence[Wallet] = ()
        self.topped_up = Decimal(0)
        self.data_dir = data_dir
        self.simulator = simulator
        self.operator = Operator(suite.gateway_url, layout.secret("admin_key"))

    def start(self) -> None:
        """Start all and return when all are ready; ServerError."""
        started: dict[str, Future[None]] = {}
        for member in self._members.values():
            for name in member.starts_after:
                started[name].result()
            started[member.name] = self._pool.submit(member.part.start)
        for future in started.values():
            future.result()

    def stop(self) -> None:
        """Stop all, politely and in the apphost's order; a restart under way is given up."""
        self._ending.set()
        for future in (*self._restarts.values(), *self._mending):
            future.exception()
        gone: set[str] = set()
        while len(gone) < len(self._members):
            for member in self._members.values():
                waits_for = {name for name in member.stops_after if name in self._members}
                if member.name not in gone and waits_for <= gone:
                    self._pool.submit(member.part.stop).result()
                    gone.add(member.name)
        self._pool.shutdown()
        self._menders.shutdown()
        self._proxies.stop()
        self.operator.admin.close()

    def strike(self, fault: Fault) -> bool:
        """Do it and see that it is undone after `fault.down_s`; False when the victim is down already."""
        restart = self._restarts.get(fault.victim)
        if restart is not None and not restart.done():
            return False
        began_s = time.time()
        if fault.kind == "kill":
            if restart is not None:
                self._mending.append(restart)
            self._members[fault.victim].part.kill()
            self._restarts[fault.victim] = self._pool.submit(self._restart, fault, began_s)
        elif fault.kind == "pause":
            family = _family(self._members[fault.victim].part.pid)
            _signal(family, signal.SIGSTOP)
            self._mending.append(
                self._menders.submit(self._mend, fault, began_s, lambda: _signal(family, signal.SIGCONT))
            )
        else:
            link = self._proxies.links[fault.victim]
            match fault.kind:
                case "cut":
                    link.cut()
                case "freeze":
                    link.freeze()
                case "delay":
                    link.delay(fault.delay_s)
                case _:
                    link.disorder(fault.kind)
            self._mending.append(self._menders.submit(self._mend, fault, began_s, link.heal))
        return True

    def outages(self) -> list[Outage]:
        """What became of every fault since the last call, once all is well again; ServerError."""
        outages = [future.result() for future in (*self._mending, *self._restarts.values())]
        self._restarts, self._mending = {}, []
        return outages

    def deaths(self) -> list[str]:
        """The parts that ended although nobody killed them, each with its last words; they are restarted."""
        found = []
        for name, member in self._members.items():
            if name not in self._restarts and not member.part.running:
                found.append(f"{name} died by itself: {obituary(member.part)}")
                self.strike(Fault(0.0, name, 0.0))
        return found

    def sql(self, statement: str, database: str) -> list[list[str]]:
        """Rows of a query as superuser."""
        rows = self._postgres.execute(statement, database)
        return [row.split("|") for row in rows.splitlines()]

    def _mend(self, fault: Fault, began_s: float, undo: Callable[[], None]) -> Outage:
        self._ending.wait(fault.down_s)
        undo()
        return Outage(fault.victim, began_s, time.time(), 0, fault.kind)

    def _restart(self, fault: Fault, killed_s: float) -> Outage:
        """Until it is ready; a service that needs what is still away dies and is started again."""
        part = self._members[fault.victim].part
        self._ending.wait(fault.down_s)
        deadline_s = time.monotonic() + RESTART_TIMEOUT_S
        attempts = 0
        while True:
            attempts += 1
            try:
                part.start()
            except ServerError:
                if self._ending.is_set() or time.monotonic() > deadline_s:
                    raise
                self._ending.wait(RESTART_PAUSE_S)
            else:
                return Outage(fault.victim, killed_s, time.time(), attempts)


@contextmanager
def supervised_suite(data_dir: Path) -> Iterator[SupervisedSuite]:
    """A suite and its simulator, started; both are gone afterwards."""
    with running_simulator() as simulator:
        suite = SupervisedSuite(data_dir, simulator)
        try:
            suite.start()
            yield suite
        finally:
            suite.stop()


def _family(pid: int) -> list[psutil.Process]:
    """The process and its children, PostgreSQL's backends among them."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _signal(family: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):  # killed meanwhile, as paused processes may be
            process.send_signal(number)
