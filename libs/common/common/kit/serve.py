"""Run one service as a process: `python -m common.kit.serve <package>`.

`<package>.app.create_app(settings)` is the composition root and `<package>.settings.Settings` its settings.
SIGTERM and SIGINT stop taking connections, let answers under way finish, and close what was opened.
"""

import importlib
import sys

import uvicorn

from common.kit.bootstrap import BootstrapError
from common.kit.migrations import run as run_migrations
from common.kit.settings import ServiceSettings, SettingsError, load_settings


def main(package: str) -> int:
    """Serve until told to stop; 2 when a setting or the bootstrap file is wrong."""
    try:
        settings: ServiceSettings = load_settings(importlib.import_module(f"{package}.settings").Settings)
    except SettingsError as error:
        sys.stderr.write(f"{package}: {error}\n")
        return 2
    if settings.migrate and settings.database_url:
        run_migrations(settings.database_url, package)
    try:
        app = importlib.import_module(f"{package}.app").create_app(settings)
    except BootstrapError as error:
        sys.stderr.write(f"{package}: {error}\n")
        return 2
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
