"""Webhooks: patterns, schedule, signatures, secrets at rest."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from billing.notices.adapters.vault import SecretVault, VaultError
from billing.notices.domain.errors import WebhooksOffError
from billing.notices.domain.webhooks import Endpoint, check_patterns
from common.contracts.errors import InvalidRequestError
from common.webhooks.attempts import (
    DISABLE_AFTER,
    MAX_ATTEMPTS,
    WAITS_S,
    Outcome,
    is_hopeless,
    next_attempt,
)
from common.webhooks.signatures import Secret, new_secret, rotated, signature

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def endpoint(**fields: Any) -> Endpoint:
    values: dict[str, Any] = {
        "id": "e",
        "account": "a",
        "url": "https://example.com/",
        "patterns": ("billing.payment.*",),
        "description": "",
        "everybody": False,
        "enabled": True,
        "disabled_reason": "",
        "failing_since": None,
        "created_at": NOW,
    }
    return Endpoint(**(values | fields))


@pytest.mark.parametrize(
    ("pattern", "type_", "fits"),
    [
        ("billing.payment.*", "billing.payment.succeeded.v1", True),
        ("billing.payment.*", "billing.payments.succeeded.v1", False),
        ("billing.payment.succeeded.v1", "billing.payment.succeeded.v1", True),
        ("billing.payment.succeeded.v1", "billing.payment.succeeded.v10", False),
        ("billing.*.v1", "billing.balance.low.v1", True),
        ("*", "billing.balance.low.v1", True),
        ("billing.p?yment.*", "billing.payment.succeeded.v1", False),
    ],
)
def test_a_pattern_matches_whole_types(pattern: str, type_: str, *, fits: bool) -> None:
    if "?" in pattern:
        with pytest.raises(InvalidRequestError):
            check_patterns([pattern])
        return
    check_patterns([pattern])
    assert endpoint(patterns=(pattern,)).wants("a", type_) is fits
    assert endpoint(patterns=(pattern,)).wants("b", type_) is False
    assert endpoint(patterns=(pattern,), everybody=True).wants("b", type_) is fits


def test_waits_grow_and_end_within_three_days() -> None:
    assert list(WAITS_S) == sorted(WAITS_S)
    longest = timedelta(seconds=sum(WAITS_S)) * 1.1
    assert timedelta(days=2.5) < longest < timedelta(days=3.2)
    failed = Outcome(500, "answered 500")
    assert next_attempt("1", MAX_ATTEMPTS, failed, NOW) is None


def test_deliveries_that_failed_together_do_not_come_again_together() -> None:
    failed = Outcome(500, "answered 500")
    dues = {next_attempt(str(number), 4, failed, NOW) for number in range(100)}
    assert len(dues) > 50
    low, high = NOW + timedelta(seconds=540), NOW + timedelta(seconds=660)
    assert all(due is not None and low <= due <= high for due in dues)


@pytest.mark.parametrize(
    ("text", "least_s"),
    [
        ("120", 120),
        ("Thu, 15 Jan 2026 12:05:00 GMT", 300),
        ("Thu, 15 Jan 2026 11:00:00 GMT", 0),
        ("999999999999999999999", 0),
        ("864000", 86_400),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("²", 0),
    ],
)
def test_retry_after_is_heard_within_reason(text: str, least_s: int) -> None:
    due = next_attempt("1", 1, Outcome(429, "answered 429", text), NOW)
    assert due is not None
    assert (
        due == NOW + timedelta(seconds=least_s)
        if least_s
        else timedelta(0) < due - NOW < timedelta(seconds=6)
    )


def test_only_days_of_failure_or_gone_make_an_endpoint_hopeless() -> None:
    failed = Outcome(500, "answered 500")
    assert is_hopeless(Outcome(410, "answered 410"), NOW, NOW)
    assert not is_hopeless(failed, NOW - DISABLE_AFTER + timedelta(seconds=1), NOW)
    assert is_hopeless(failed, NOW - DISABLE_AFTER, NOW)


def test_signatures_are_those_of_the_reference_library() -> None:
    now = datetime.now(UTC)
    first, second, stranger = new_secret(), new_secret(), new_secret()
    body = '{"é": 1}'.encode()
    headers = signature("id-1", now, body, [first, second])
    for secret in (first, second):
        assert Webhook(secret.value).verify(body, headers) == {"é": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(stranger.value).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first.value).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first.value).verify(body, headers | {"webhook-id": "id-2"})


def test_the_published_example_of_the_specification_comes_out() -> None:
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signature("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', [secret])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_at_most_sign() -> None:
    secrets = [new_secret()]
    for _ in range(3):
        secrets = rotated(secrets, NOW)
    assert [secret.until for secret in secrets] == [None, NOW + timedelta(days=1)]
    later = signature("i", NOW + timedelta(days=1), b"", secrets)
    assert len(later["webhook-signature"].split()) == 1


def test_secrets_open_with_their_key_and_for_their_endpoint_only() -> None:
    vault, secrets = SecretVault("k" * 16), [new_secret(), Secret("whsec_eA==", NOW)]
    sealed = vault.seal("e", secrets)
    assert vault.open("e", sealed) == secrets
    for other, name in ((SecretVault("l" * 16), "e"), (vault, "f")):
        with pytest.raises(VaultError):
            other.open(name, sealed)
    off = SecretVault("")
    with pytest.raises(WebhooksOffError):
        off.seal("e", secrets)
