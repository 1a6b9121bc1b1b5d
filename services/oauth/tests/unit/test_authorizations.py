"""Where answers go, and how they are written there."""

import pytest

from oauth.domain.redirects import answer, find_redirect, form_targets, is_assured, place_of

BACK = "https://cards.example/back"


@pytest.mark.parametrize(
    ("asked", "registered", "found"),
    [
        (BACK, (BACK,), True),
        (BACK, (), False),
        (None, (), False),
        (f"{BACK}/", (BACK,), False),
        ("https://cards.example:8443/back", (BACK,), False),
        ("http://127.0.0.1:1/back", ("http://127.0.0.1:2/back",), True),
        ("http://127.0.0.1/back", ("http://127.0.0.1:2/back",), True),
        ("http://127.0.0.1:1", ("http://127.0.0.1",), True),
        ("http://127.0.0.1:1/?a=b", ("http://127.0.0.1/?a=b",), True),
        ("http://127.0.0.1:1/?a=c", ("http://127.0.0.1/?a=b",), False),
        ("http://127.0.0.1:1@evil.example/back", ("http://127.0.0.1/back",), False),
        ("http://127.0.0.1:1.evil.example/back", ("http://127.0.0.1/back",), False),
        ("http://127.0.0.1.evil.example/back", ("http://127.0.0.1/back",), False),
        ("http://127.0.0.2:1/back", ("http://127.0.0.1/back",), False),
        ("http://localhost:1/back", ("http://127.0.0.1/back",), False),
        ("https://127.0.0.1:1/back", ("https://127.0.0.1/back",), False),
        ("http://127.0.0.1:/back", ("http://127.0.0.1/back",), False),
        ("http://127.0.0.1:*/back", ("http://127.0.0.1/back",), False),
        ("http://127.0.0.1:1/back\n", ("http://127.0.0.1/back",), False),
        ("http://[::1]:1/back", ("http://[::1]/back",), True),
    ],
)
def test_only_the_port_of_a_loopback_address_is_free(
    asked: str | None, registered: tuple[str, ...], *, found: bool
) -> None:
    assert find_redirect(asked, registered) == (asked if found else None)


def test_the_answer_stands_behind_a_query_of_the_app() -> None:
    assert answer(f"{BACK}?a=b", "https://tollway.example", "s t&", code="x") == (
        f"{BACK}?a=b&code=x&state=s%20t%26&iss=https%3A%2F%2Ftollway.example"
    )
    assert "state" not in answer(BACK, "https://tollway.example", "", error="access_denied")


@pytest.mark.parametrize(
    ("redirect_uri", "targets", "place", "assured"),
    [
        (BACK, ("https:",), "cards.example", True),
        ("http://127.0.0.1:99/back", ("http://127.0.0.1:99", "https:"), "127.0.0.1:99", False),
        ("http://[::1]:99/back", ("http:", "https:"), "[::1]:99", False),
        ("com.example.app:/back", ("com.example.app:",), "com.example.app:", False),
    ],
)
def test_the_page_says_where_it_leads_and_may_lead_there(
    redirect_uri: str, targets: tuple[str, ...], place: str, *, assured: bool
) -> None:
    assert form_targets(redirect_uri) == targets
    assert place_of(redirect_uri) == place
    assert is_assured(redirect_uri, is_public=True) is assured
    assert is_assured(redirect_uri, is_public=False)
