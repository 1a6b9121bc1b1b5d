"""The bootstrap file of the demo, put together from the parts in `deploy/local/demo`.

A part is taken when every variable it reads by `env:` is set: so the simulators' channels are there when they
run, and a real vendor is a channel as soon as its API key is in the environment.
"""

import re
from collections.abc import Mapping
from pathlib import Path

PARTS = Path(__file__).resolve().parents[1] / "demo"
VARIABLE = re.compile(r'"env:([^"]+)"')


def variables(
    key: str, password: str, app_secret: str, simulators_url: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """What the demo's parts read, besides the API keys of real vendors, which `environ` has or has not."""
    found = {"DEMO_KEY": key, "DEMO_PASSWORD": password, "DEMO_APP_SECRET": app_secret}
    if simulators_url:
        found["SIMULATORS_OPENAI_URL"] = f"{simulators_url}/openai/v1"
        if not environ.get("OPENAI_API_KEY"):
            # Only then: a failure of the real vendor must never be hidden behind a simulated answer.
            found["STAND_IN_OPENAI_URL"] = f"{simulators_url}/openai/v1"
    return found


def write(path: Path, environ: Mapping[str, str]) -> Path:
    """Write the file, which holds the names of secrets and never their values."""
    parts = [part.read_text() for part in sorted(PARTS.glob("*.toml"))]
    path.write_text("\n".join(part for part in parts if all(map(environ.get, VARIABLE.findall(part)))))
    return path
