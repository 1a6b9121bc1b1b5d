"""What the apphost tells each part, before anything runs."""

import json
import stat
from pathlib import Path

import pytest

from common.kit.bootstrap import BootstrapError, load_bootstrap
from tollway.apphost import Suite
from tollway.nats_users import NATS_USERS
from tollway.state import DataDir

BASE = {"PATH": "/usr/bin"}


def make_suite(
    tmp_path: Path, *, simulators: bool = True, config: Path | None = None, **environ: str
) -> Suite:
    place = DataDir(tmp_path)
    place.create()
    return Suite(place, 8080, config, simulators=simulators, environ={**BASE, **environ})


def channels(suite: Suite) -> dict[str, tuple[str, ...]]:
    bootstrap = load_bootstrap(suite.bootstrap, suite.environ)
    return {channel.name: channel.models for channel in bootstrap.channels}


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = make_suite(tmp_path)
    path = tmp_path / "secrets.json"
    before = path.read_bytes()
    assert make_suite(tmp_path).demo_key == first.demo_key
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(json.loads(before).values())) == len(json.loads(before))


def test_the_demo_file_holds_no_secret(tmp_path: Path) -> None:
    suite = make_suite(tmp_path, OPENAI_API_KEY="sk-real-thing")
    text = suite.bootstrap.read_text()
    assert "sk-real-thing" not in text
    assert not [
        secret for secret in json.loads((tmp_path / "secrets.json").read_text()).values() if secret in text
    ]


def test_the_demo_is_served_by_simulators_when_no_vendor_is_known(tmp_path: Path) -> None:
    found = channels(make_suite(tmp_path))
    assert found.keys() == {"simulated-openai", "simulated-faults"}
    assert "gpt-4o-mini" in found["simulated-openai"]


def test_a_vendors_key_makes_it_a_channel_and_no_simulator_stands_in_for_it(tmp_path: Path) -> None:
    found = channels(make_suite(tmp_path, OPENAI_API_KEY="sk-real-thing"))
    assert found.keys() == {"openai", "simulated-faults"}
    assert "gpt-4o-mini" in found["openai"]


def test_without_simulators_no_channel_leads_to_one(tmp_path: Path) -> None:
    suite = make_suite(tmp_path, simulators=False)
    assert channels(suite) == {}
    assert "simulators" not in {member.name for member in suite.members()}


def test_every_model_of_the_simulated_faults_has_a_price(tmp_path: Path) -> None:
    suite = make_suite(tmp_path)
    bootstrap = load_bootstrap(suite.bootstrap, suite.environ)
    priced = {price.model for price in bootstrap.prices}
    assert set(channels(suite)["simulated-faults"]) <= priced


def test_a_wrong_configuration_is_told_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "tollway.toml"
    config.write_text('[[groups]]\nname = "default"\nrat = "1.0"\n')
    suite = make_suite(tmp_path, config=config)
    with pytest.raises(BootstrapError, match=rf"{config}:3: .*rat"):
        load_bootstrap(suite.bootstrap, suite.environ)


def test_each_service_has_its_own_user_on_the_broker_and_stops_before_what_it_needs(tmp_path: Path) -> None:
    suite = make_suite(tmp_path)
    assert {service.name for service in suite.services} == NATS_USERS.keys()
    members = {member.name: member for member in suite.members()}
    for service in suite.services:
        assert set(members[service.name].starts_after) == {"postgres", "nats"}
        assert service.name in members["postgres"].stops_after
        assert service.name in members["nats"].stops_after
    assert "gateway" in members["chat-relay"].stops_after
    assert "chat-relay" in members["billing"].stops_after


def test_only_the_owner_of_the_facts_may_publish_public_events() -> None:
    owners = {"identity.>": "gateway", "usage.recorded.v1.*": "billing", "billing.>": "billing"}
    for subject, owner in owners.items():
        allowed = {name for name, user in NATS_USERS.items() if subject in user.publish}
        assert allowed == {owner}
    for user in NATS_USERS.values():
        assert ">" not in user.publish
        assert not [subject for subject in user.publish if "DELETE" in subject or "PURGE" in subject]
