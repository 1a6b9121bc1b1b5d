"""OAuth clients of the Node world, as published, against the running suite; the test plays the person."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from e2e.browsers import Browser, register_app
from e2e.suite import RunningSuite

SCRIPTS = Path(__file__).parent / "oauth_clients"
TIMEOUT_S = 60
REDIRECT_URI = "http://127.0.0.1:9999/callback"


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the scripts and the locked packages, which are fetched once per lock file and kept."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no node and npm on this machine")
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tollway"
    kept = caches / f"oauth-clients-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not kept.exists():
        caches.mkdir(parents=True, exist_ok=True)
        _install(kept)
    place = tmp_path_factory.mktemp("oauth-clients")
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, place)
    (place / "node_modules").symlink_to(kept / "node_modules")
    return place


def _install(kept: Path) -> None:
    """Into a directory of its own, that takes the name when it is whole: another worker may be at it too."""
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="making-") as making:
        whole = Path(making) / "whole"
        whole.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SCRIPTS / name, whole)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        made = subprocess.run(command, cwd=whole, capture_output=True, text=True, timeout=300, check=False)
        if made.returncode:
            pytest.skip(f"npm could not install the clients: {made.stderr.strip()[-300:]}")
        try:
            whole.rename(kept)
        except OSError:
            if not kept.exists():
                raise


@pytest.fixture
def browser(suite: RunningSuite) -> Iterator[Browser]:
    browser = Browser(suite, suite.person())
    yield browser
    browser.http.close()


def _run(place: Path, script: str, browser: Browser, **app_fields: Any) -> dict[str, Any]:
    """What the client found out, once it is through."""
    app = register_app(browser.person, browser.operator, redirect_uris=[REDIRECT_URI], **app_fields)
    told = {
        "issuer": browser.operator.url,
        "client_id": app["client_id"],
        "client_secret": app["client_secret"],
        "redirect_uri": REDIRECT_URI,
    }
    with subprocess.Popen(
        ["node", script],
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        def say(message: dict[str, str]) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

        say(told)
        for line in process.stdout:
            message = json.loads(line)
            if "done" in message:
                process.wait(TIMEOUT_S)
                facts: dict[str, Any] = message["done"]
                return facts
            say({"callback": browser.follow(message["open"])})
        raise AssertionError(process.stderr.read())


def test_oauth4webapi_with_par_dpop_and_an_id_token(modules: Path, browser: Browser) -> None:
    facts = _run(modules, "oauth4webapi.mjs", browser, auth_method="client_secret_post")
    assert facts == {
        "token_type": "dpop",
        "email": browser.person.email,
        "model": 200,
        "as_bearer": 401,
        "rotated": True,
        "bound": True,
        "live": True,
        "dead": False,
    }


def test_openid_client_with_par_and_a_charge_limit(modules: Path, browser: Browser) -> None:
    browser.terms = {"limit": "2"}
    facts = _run(modules, "openid-client.mjs", browser)
    assert Decimal(facts.pop("limit")) == 2, "the person lowered what was asked"
    assert facts == {
        "token_type": "bearer",
        "email": browser.person.email,
        "model": 200,
        "details": ["charge_user"],
        "rotated": True,
        "live": True,
        "dead": False,
    }


def test_simple_oauth2(modules: Path, browser: Browser) -> None:
    facts = _run(modules, "simple-oauth2.mjs", browser)
    assert facts == {
        "token_type": "Bearer",
        "same_state": True,
        "model": 200,
        "refreshed": 200,
        "rotated": True,
        "after_revocation": 401,
    }


def test_arctic_as_a_public_app(modules: Path, browser: Browser) -> None:
    facts = _run(modules, "arctic.mjs", browser, auth_method="none")
    assert facts == {
        "token_type": "Bearer",
        "same_state": True,
        "model": 200,
        "rotated": True,
        "after_revocation": 401,
    }
