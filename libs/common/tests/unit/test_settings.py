"""Settings: a wrong one is named, its value never shown."""

from typing import Literal

import pytest

from common.kit.settings import ServiceSettings, SettingsError, load_settings

COMPLETE = {
    "TOLLWAY_PORT": "8080",
    "TOLLWAY_OPS_PORT": "9080",
    "TOLLWAY_NATS_URL": "nats://127.0.0.1",
    "TOLLWAY_PRINCIPAL_KEYS": "k1:0123456789abcdef",
}


class Sample(ServiceSettings, frozen=True, kw_only=True):
    """Settings of a service."""

    secret: Literal["one", "two"] = "one"
    """A word."""


def test_the_environment_is_read_and_converted() -> None:
    loaded = load_settings(
        Sample, {**COMPLETE, "TOLLWAY_TRACE_RATIO": "0.5", "TOLLWAY_MIGRATE": "true", "TOLLWAY_SECRET": "two"}
    )
    assert (loaded.port, loaded.trace_ratio, loaded.migrate, loaded.secret) == (8080, 0.5, True, "two")


def test_what_is_not_set_has_its_default() -> None:
    one, other = load_settings(Sample, COMPLETE), load_settings(Sample, COMPLETE)
    assert (one.host, one.log_level, one.secret) == ("127.0.0.1", "INFO", "one")
    assert one.replica != other.replica


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_a_missing_setting_is_named(name: str) -> None:
    environ = {key: value for key, value in COMPLETE.items() if key != name}
    with pytest.raises(SettingsError, match=f"^{name} is not set$"):
        load_settings(Sample, environ)


@pytest.mark.parametrize("name", ["TOLLWAY_PORT", "TOLLWAY_TRACE_RATIO", "TOLLWAY_MIGRATE", "TOLLWAY_SECRET"])
def test_a_malformed_setting_is_named_without_its_value(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        load_settings(Sample, {**COMPLETE, name: "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
