"""Run one service as a process: `python -m common.kit.serve <package>`.

`<package>.app.create_app(settings)` is the composition root and `<package>.settings.Settings` its settings.
SIGTERM and SIGINT stop taking connections, let answers under way finish, and close what was opened.
"""

import importlib
import importlib.resources
import subprocess
import sys
from types import ModuleType
from typing import cast

import uvicorn

from common.kit.bootstrap import BootstrapError
from common.kit.settings import ServiceSettings, SettingsError, load_settings


def main(package: str) -> int:
    """Serve until told to stop; 2 when a setting or the bootstrap file is wrong."""
    try:
        settings: ServiceSettings = load_settings(importlib.import_module(f"{package}.settings").Settings)
    except SettingsError as error:
        sys.stderr.write(f"{package}: {error}\n")
        return 2
    migration = _start_migration(settings, package)
    # nats-py loads aiohttp for a transport over WebSocket, which nobody here uses: 8 MB.
    sys.modules["aiohttp"] = cast("ModuleType", None)
    importlib.import_module("nats")
    del sys.modules["aiohttp"]
    # Litestar loads its pydantic support wherever that is installed (tests bring it): 9 MB nobody here uses.
    sys.modules.setdefault("pydantic", cast("ModuleType", None))
    try:
        app = importlib.import_module(f"{package}.app").create_app(settings)
    except BootstrapError as error:
        sys.stderr.write(f"{package}: {error}\n")
        return 2
    if migration is not None and migration.wait():
        return 1
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-For is anybody's claim; the gateway alone decides whose it believes.
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=20,
    )
    return 0


def _start_migration(settings: ServiceSettings, package: str) -> "subprocess.Popen[bytes] | None":
    # A process of its own: the service loads meanwhile, and never carries Alembic's 16 MB.
    if not (settings.migrate and settings.database_url):
        return None
    if not (importlib.resources.files(package) / "migrations").is_dir():
        return None
    command = [sys.executable, "-m", "common.kit.migrations", package]
    return subprocess.Popen(command)  # noqa: S603  our own module, our own package


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
