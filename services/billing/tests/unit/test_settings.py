"""Settings that would lose money refuse to start."""

import os
import subprocess
import sys

import pytest

from billing.settings import Settings
from common.kit.settings import SettingsError, load_settings

ENVIRON = {
    "TOLLWAY_PORT": "1",
    "TOLLWAY_OPS_PORT": "2",
    "TOLLWAY_NATS_URL": "nats://127.0.0.1:1",
    "TOLLWAY_PRINCIPAL_KEYS": "k1:a-secret-of-sixteen-bytes",
}


@pytest.mark.parametrize("secrets", ["", " ", ",", " , "])
def test_a_stripe_key_without_a_webhook_secret_refuses_to_start_with_one_line(secrets: str) -> None:
    environ = {"TOLLWAY_STRIPE_API_KEY": "sk_test_x", "TOLLWAY_STRIPE_WEBHOOK_SECRETS": secrets}
    command = [sys.executable, "-m", "common.kit.serve", "billing"]
    ended = subprocess.run(
        command,
        env={**os.environ, **ENVIRON, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "TOLLWAY_STRIPE_WEBHOOK_SECRETS is empty" in ended.stderr
    assert "sk_test_x" not in ended.stderr


def test_several_secrets_are_read_for_a_rotation() -> None:
    settings = load_settings(Settings, {**ENVIRON, "TOLLWAY_STRIPE_WEBHOOK_SECRETS": "whsec_a, whsec_b,"})
    assert settings.webhook_secrets == ("whsec_a", "whsec_b")


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(SettingsError, match="TOLLWAY_CODE_PEPPER"):
        load_settings(Settings, {**ENVIRON, "TOLLWAY_CODE_PEPPER": "short"})
