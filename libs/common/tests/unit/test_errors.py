"""Errors: each protocol's own shape, to the letter."""

import msgspec
import pytest

from common.contracts import errors as contract
from common.contracts.errors import ServiceError
from common.contracts.routes import Protocol
from common.kit.errors import render_error

PROTOCOLS: tuple[Protocol, ...] = ("openai", "anthropic", "gemini", "midjourney", "problem")
QUOTA = contract.InsufficientQuotaError("Top up.", param="model")


def rendered(protocol: Protocol, error: ServiceError) -> tuple[int, dict[str, str], object]:
    status, headers, body = render_error(protocol, error, "request-1")
    assert (b"content-length", str(len(body)).encode()) in headers
    names = [name for name, _ in headers]
    assert len(set(names)) == len(names)
    return status, {name.decode(): value.decode() for name, value in headers}, msgspec.json.decode(body)


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (
            "openai",
            {
                "error": {
                    "message": "Top up. (request id: request-1)",
                    "type": "insufficient_quota",
                    "param": "model",
                    "code": "insufficient_quota",
                }
            },
        ),
        (
            "anthropic",
            {
                "type": "error",
                "error": {"type": "billing_error", "message": "Top up. (request id: request-1)"},
                "request_id": "request-1",
            },
        ),
        (
            "gemini",
            {
                "error": {
                    "code": 402,
                    "message": "Top up. (request id: request-1)",
                    "status": "RESOURCE_EXHAUSTED",
                }
            },
        ),
        ("midjourney", {"code": 4, "description": "Top up. (request id: request-1)", "result": None}),
        (
            "problem",
            {
                "type": "urn:tollway:error:insufficient_quota",
                "title": "insufficient quota",
                "status": 402,
                "detail": "Top up.",
                "code": "insufficient_quota",
                "request_id": "request-1",
                "param": "model",
            },
        ),
    ],
)
def test_a_refusal_in_each_protocol(protocol: Protocol, body: object) -> None:
    status, headers, found = rendered(protocol, QUOTA)
    assert status == 402
    assert found == body
    assert headers["x-request-id"] == "request-1"
    assert headers["content-type"] == (
        "application/problem+json" if protocol == "problem" else "application/json"
    )
    assert "x-should-retry" not in headers


ALL_ERRORS = [
    kind for kind in vars(contract).values() if isinstance(kind, type) and issubclass(kind, ServiceError)
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_has_its_status_and_request_id_in_every_protocol(
    kind: type[ServiceError], protocol: Protocol
) -> None:
    status, _, body = rendered(protocol, kind("No."))
    assert status == kind.status
    assert "request-1" in msgspec.json.encode(body).decode()


@pytest.mark.parametrize(
    ("status", "openai", "anthropic", "gemini"),
    [
        (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
        (413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
        (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (500, "api_error", "api_error", "INTERNAL"),
        (503, "api_error", "overloaded_error", "UNAVAILABLE"),
        (504, "api_error", "timeout_error", "DEADLINE_EXCEEDED"),
    ],
)
def test_the_error_types_that_clients_switch_on(
    status: int, openai: str, anthropic: str, gemini: str
) -> None:
    error = ServiceError("No.", status=status)
    bodies = [rendered(protocol, error)[2] for protocol in ("openai", "anthropic", "gemini")]
    found = [body["error"] for body in bodies if isinstance(body, dict)]
    assert [found[0]["type"], found[1]["type"], found[2]["status"]] == [openai, anthropic, gemini]


@pytest.mark.parametrize(("retry_after_s", "header"), [(0.01, "1"), (1, "1"), (1.2, "2"), (60.0, "60")])
def test_nobody_is_told_to_come_back_too_early(retry_after_s: float, header: str) -> None:
    error = contract.RateLimitedError("Slow down.", retry_after_s=retry_after_s)
    _, headers, _ = rendered("openai", error)
    assert headers["retry-after"] == header
    assert headers["x-should-retry"] == "true"


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (contract.UpstreamError("x"), "true"),
        (contract.UnavailableError("x"), "true"),
        (contract.DeadlineError("x"), "true"),
        (ServiceError("x"), "false"),
        (contract.RateLimitedError("x"), "false"),
        (contract.ConflictError("x"), None),
    ],
)
def test_clients_are_told_whether_to_retry(error: ServiceError, retry: str | None) -> None:
    assert rendered("openai", error)[1].get("x-should-retry") == retry


def test_one_error_may_carry_another_code_and_status() -> None:
    status, _, body = rendered("problem", ServiceError("Gone.", code="gone", status=410))
    assert status == 410
    assert isinstance(body, dict)
    assert body["code"] == "gone"
    assert "param" not in body
