"""The route table."""

import pytest

from common.contracts.routes import ROUTES, route_for


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1/chat/completions", "chat-relay"),
        ("/v1/models", "chat-relay"),
        ("/v1/models/", "chat-relay"),
        ("/v1/models/gpt-4o", "chat-relay"),
        ("/api/billing", "billing"),
        ("/api/billing/wallets/a/b", "billing"),
        ("/api/billings", "gateway"),
        ("/api/keys/1", "gateway"),
        ("/api", "gateway"),
    ],
)
def test_the_longest_prefix_of_whole_segments_serves(path: str, service: str) -> None:
    row = route_for(path)
    assert row is not None
    assert row.service == service


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/apiary", "/v1/chat/completions/x", "/v1/chat/completions/", "//v1/models", "x"]
)
def test_nothing_else_is_served(path: str) -> None:
    assert route_for(path) is None


def test_every_row_is_found_by_its_own_path() -> None:
    for row in ROUTES:
        assert route_for(row.path) is row


def test_no_path_has_two_owners() -> None:
    paths = [row.path for row in ROUTES]
    assert len(set(paths)) == len(paths)
