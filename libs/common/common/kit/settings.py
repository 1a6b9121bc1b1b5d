"""Settings: one frozen Struct per service, read from `TOLLWAY_*` environment variables."""

import os
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from common.kit.ids import uuid7


class SettingsError(Exception):
    """A setting is missing or malformed; the message names the variable and never shows its value."""


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service reads. Field `database_url` is the variable `TOLLWAY_DATABASE_URL`, and so on."""

    host: str = "127.0.0.1"
    """Address the service listens on."""
    port: int
    """Port of the service's routes."""
    ops_port: int
    """Port of /healthz, /readyz and /metrics; keep it away from the public."""
    database_url: str = ""
    """postgresql://user:password@host:port/database of this service's own database."""
    nats_url: str
    """nats://user:password@host:port of the broker."""
    principal_keys: str
    """`id:secret[,id:secret]`: keys of the principal header; the first signs, all verify."""
    replica: str = msgspec.field(default_factory=lambda: f"r-{uuid7()[-12:]}")
    """Name of this replica, unique among the replicas of the service."""
    bootstrap: str = ""
    """Path of tollway.toml; empty applies nothing."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    otlp_endpoint: str = ""
    """OTLP/HTTP base URL for traces; empty switches tracing off."""
    trace_ratio: float = 0.01
    """Share of new traces that are sampled; an inbound sampled trace is always kept."""
    migrate: bool = False
    """Run the database migrations before serving (one replica on a laptop; a job on Kubernetes)."""


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def load_settings(kind: type[SettingsT], environ: Mapping[str, str] | None = None) -> SettingsT:
    """Read `kind` from the environment; raises SettingsError naming the variable that is wrong."""
    environ = os.environ if environ is None else environ
    values = {}
    for field in msgspec.structs.fields(kind):
        name = f"TOLLWAY_{field.name.upper()}"
        text = environ.get(name)
        if text is None:
            if field.required:
                raise SettingsError(f"{name} is not set")
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" '")[0]  # msgspec quotes the value of an enum
            raise SettingsError(f"{name}: {reason}") from None
    return kind(**values)
