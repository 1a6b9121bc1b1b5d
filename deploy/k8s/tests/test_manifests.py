"""What `kubectl apply -k` would send, rendered and checked. Without kubectl on the PATH these are skipped:
kustomize exists as a Go program only, and a second implementation here would prove nothing about it.
"""

import asyncio
import base64
import importlib
import importlib.resources
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import msgspec
import pytest
import yaml

from common.kit import serve
from common.kit.bootstrap import load_bootstrap
from common.kit.principal import PrincipalSigner
from common.kit.settings import ServiceSettings, load_settings
from common.testing.plugin import DatabaseFactory

K8S = Path(__file__).resolve().parents[1]
SERVICES = ("gateway", "billing", "chat-relay", "media-tasks", "oauth")
OLDEST_KUBERNETES = "1.30"  # the first with `preStop.sleep` on
SECRET_NAMES = re.compile(r"PASSWORD|SECRET|PEPPER|TOKEN|_KEY|DATABASE_URL|NATS_URL")

Manifest = dict[str, Any]


def render(folder: str) -> list[Manifest]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH, and nothing else renders kustomize")
    command = [kubectl, "kustomize", str(K8S / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return cast("list[Manifest]", list(yaml.safe_load_all(text)))


@pytest.fixture(scope="module")
def base() -> list[Manifest]:
    return render("base")


@pytest.fixture(scope="module")
def demo() -> list[Manifest]:
    return render("overlays/demo")


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    return {item["metadata"]["name"]: item for item in manifests if item["kind"] in kinds}


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    workloads = of_kind(manifests, "Deployment", "StatefulSet")
    return {name: item["spec"]["template"]["spec"] for name, item in workloads.items()}


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    for name, spec in pod_specs(manifests).items():
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            yield f"{name}/{container['name']}", spec, container


def environment(manifests: list[Manifest], service: str) -> dict[str, str]:
    """The variables the service's container gets, as the kubelet would put them together."""
    sources = of_kind(manifests, "ConfigMap"), of_kind(manifests, "Secret")
    values: dict[str, str] = {}
    container = pod_specs(manifests)[service]["containers"][0]
    for source in container["envFrom"]:
        kind, index = ("configMapRef", 0) if "configMapRef" in source else ("secretRef", 1)
        values |= data_of(sources[index][source[kind]["name"]])
    for variable in container["env"]:
        reference = variable.get("valueFrom", {})
        if "secretKeyRef" in reference:
            secret = data_of(sources[1][reference["secretKeyRef"]["name"]])
            values[variable["name"]] = secret[reference["secretKeyRef"]["key"]]
        else:
            values[variable["name"]] = variable.get("value", f"{service}-0")
    return values


def data_of(item: Manifest) -> dict[str, str]:
    if item["kind"] == "ConfigMap":
        return cast("dict[str, str]", item["data"])
    return {name: base64.b64decode(value).decode() for name, value in item["data"].items()}


def settings_kind(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"{service.replace('-', '_')}.settings")
    return cast("type[ServiceSettings]", module.Settings)


def has_migrations(service: str) -> bool:
    package = importlib.resources.files(service.replace("-", "_"))
    return (package / "migrations" / "env.py").is_file()


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_every_document_is_valid_to_the_letter(demo: list[Manifest], version: str) -> None:
    assert len(demo) > 40
    for manifest in demo:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_would_be_noticed(demo: list[Manifest]) -> None:
    manifest = msgspec.json.decode(msgspec.json.encode(of_kind(demo, "Deployment")["billing"]))
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(manifest, OLDEST_KUBERNETES, strict=True)


def test_every_container_runs_restricted(demo: list[Manifest]) -> None:
    namespace = of_kind(demo, "Namespace")["tollway"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod, container in containers(demo):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_every_container_is_bounded_and_every_lasting_one_is_probed(demo: list[Manifest]) -> None:
    for name, pod, container in containers(demo):
        for bound in ("requests", "limits"):
            assert container["resources"][bound].keys() == {"cpu", "memory"}, name
        if container in pod["containers"]:
            assert container.keys() >= {"livenessProbe", "readinessProbe"}, name


def test_every_workload_has_an_account_of_its_own(demo: list[Manifest]) -> None:
    accounts = {name: spec["serviceAccountName"] for name, spec in pod_specs(demo).items()}
    assert accounts == {name: name for name in accounts}
    assert accounts.keys() <= of_kind(demo, "ServiceAccount").keys()


def test_only_the_gateway_can_be_reached_from_outside_the_namespace(demo: list[Manifest]) -> None:
    assert {item["spec"].get("type", "ClusterIP") for item in of_kind(demo, "Service").values()} == {
        "ClusterIP"
    }
    assert not of_kind(demo, "Ingress", "HTTPRoute")
    policies = of_kind(demo, "NetworkPolicy")
    assert policies["deny-all"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_doors = {
        (name, rule["ports"][0]["port"])
        for name, policy in policies.items()
        for rule in policy["spec"].get("ingress", ())
        if any("podSelector" not in peer for peer in rule.get("from", [{}]))
    }
    assert open_doors == {
        ("anyone-to-gateway", "http"),
        ("metrics-from-monitoring", "ops"),
        ("nats-from-consumers", 4222),
    }
    assert policies["anyone-to-gateway"]["spec"]["podSelector"] == {
        "matchLabels": {"app.kubernetes.io/name": "gateway"}
    }


def test_all_but_the_gateway_may_call_the_internet_and_no_private_address_in_it(demo: list[Manifest]) -> None:
    callers = {
        name: policy["spec"]["podSelector"]["matchExpressions"][0]["values"]
        for name, policy in of_kind(demo, "NetworkPolicy").items()
        for rule in policy["spec"].get("egress", ())
        if any("ipBlock" in peer for peer in rule.get("to", [{"ipBlock": "anywhere"}]))
    }
    assert callers == {"callers-of-internet": ["billing", "chat-relay", "media-tasks", "oauth"]}
    rule = of_kind(demo, "NetworkPolicy")["callers-of-internet"]["spec"]["egress"][0]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"} <= set(
        rule["to"][0]["ipBlock"]["except"]
    )


def test_the_base_holds_no_secret(base: list[Manifest]) -> None:
    assert not of_kind(base, "Secret")
    literals = {
        variable["name"]
        for _, _, container in containers(base)
        for variable in container.get("env", ())
        if "value" in variable
    }
    for config in of_kind(base, "ConfigMap").values():
        literals |= config["data"].keys()
    assert not [name for name in literals if SECRET_NAMES.search(name)]


def test_no_service_is_given_the_secrets_of_another(demo: list[Manifest]) -> None:
    shared = ("principal-", "bootstrap-")
    readers: dict[str, set[str]] = {}
    for name, spec in pod_specs(demo).items():
        for secret in re.findall(r"'(?:secretRef|secretKeyRef|secret)': {[^}]*'name': '([^']+)'", str(spec)):
            if not secret.startswith(shared):
                readers.setdefault(secret, set()).add(name)
    assert readers.keys() == {name for name in of_kind(demo, "Secret") if not name.startswith(shared)}
    assert all(len(names) == 1 for names in readers.values()), readers


@pytest.mark.parametrize("service", SERVICES)
def test_the_environment_is_what_the_service_reads(service: str, demo: list[Manifest]) -> None:
    kind = settings_kind(service)
    values = environment(demo, service)
    settings = load_settings(kind, values)
    known = {f"TOLLWAY_{field.name.upper()}" for field in msgspec.structs.fields(kind)}
    assert {name for name in values if name.startswith("TOLLWAY_")} <= known
    assert (settings.host, settings.port, settings.ops_port) == ("0.0.0.0", 8080, 9090)  # noqa: S104
    assert settings.database_url
    PrincipalSigner(settings.principal_keys)


@pytest.mark.parametrize("service", ["gateway", "billing", "chat-relay"])
def test_the_bootstrap_file_of_the_demo_can_be_applied(
    service: str, demo: list[Manifest], tmp_path: Path
) -> None:
    values = environment(demo, service)
    mounted = next(name for name in of_kind(demo, "ConfigMap") if name.startswith("bootstrap-"))
    path = tmp_path / Path(values["TOLLWAY_BOOTSTRAP"]).name
    path.write_text(of_kind(demo, "ConfigMap")[mounted]["data"][path.name])
    bootstrap = load_bootstrap(path, values)
    assert bootstrap.users[0].keys[0].secret
    priced = {price.model for price in bootstrap.prices}
    assert {model for channel in bootstrap.channels for model in channel.models} <= priced


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_with_tables_migrates_before_it_serves(service: str, demo: list[Manifest]) -> None:
    commands = [step["command"] for step in pod_specs(demo)[service].get("initContainers", ())]
    migrate = ["python", "-m", "common.kit.migrations", service.replace("-", "_")]
    assert commands == ([migrate] if has_migrations(service) else [])


async def test_the_migration_step_brings_a_database_up_to_date(
    demo: list[Manifest], database: DatabaseFactory
) -> None:
    dsn = await database("gateway")  # already migrated: the step must be repeatable
    command = pod_specs(demo)["gateway"]["initContainers"][0]["command"]
    step = await asyncio.create_subprocess_exec(
        sys.executable,
        *command[1:],
        env={**os.environ, "TOLLWAY_DATABASE_URL": dsn},
        stderr=subprocess.PIPE,
    )
    _, complaints = await step.communicate()
    assert step.returncode == 0, complaints


def test_every_image_is_a_target_of_the_dockerfile(demo: list[Manifest]) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", (K8S / "Dockerfile").read_text(), re.MULTILINE))
    version = re.search(r'^version = "(.+)"$', (K8S.parents[1] / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    images = {container["image"] for _, _, container in containers(demo)}
    ours = {image.removeprefix("tollway-") for image in images if image.startswith("tollway-")}
    assert ours == {f"{name}:{version.group(1)}" for name in (*SERVICES, "simulators")}
    assert {image.partition(":")[0] for image in ours} <= targets
    assert all(":" in image and not image.endswith(":latest") for image in images)


@pytest.mark.parametrize("service", SERVICES)
def test_a_stopping_pod_has_time_to_finish(service: str, demo: list[Manifest]) -> None:
    graceful = re.search(r"timeout_graceful_shutdown=(\d+)", Path(serve.__file__).read_text())
    assert graceful
    pod = pod_specs(demo)[service]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = getattr(load_settings(settings_kind(service), environment(demo, service)), "drain_s", 5)
    assert pod["terminationGracePeriodSeconds"] >= before + int(graceful.group(1)) + drain_s + 5
