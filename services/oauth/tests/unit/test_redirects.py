"""Where browsers may be sent, and where not."""

import pytest

from common.contracts.errors import InvalidRequestError
from oauth.registry.domain.redirects import MOST_REDIRECTS, check_homepage, check_redirects


@pytest.mark.parametrize(
    "uri",
    [
        "https://cards.example/back",
        "https://cards.example:8443/back?tenant=1&x=%20",
        "http://127.0.0.1/back",
        "http://127.0.0.1:9999/callback",
        "http://[::1]:3000/",
        "http://localhost:3000/",
    ],
)
def test_https_and_loopback_may_be_sent_to(uri: str) -> None:
    for is_public in (True, False):
        assert check_redirects((uri,), is_public=is_public) == (uri,)


@pytest.mark.parametrize("uri", ["com.example.app:/back", "com.example.app:back"])
def test_a_private_scheme_is_for_apps_without_a_secret(uri: str) -> None:
    assert check_redirects((uri,), is_public=True) == (uri,)
    with pytest.raises(InvalidRequestError, match="keeps no secret"):
        check_redirects((uri,), is_public=False)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/back",
        "//cards.example/back",
        "cards.example/back",
        "http://cards.example/back",
        "http://127.0.0.1.evil.example/",
        "http://127.1/",
        "https://ann@cards.example/",
        "https://ann:pass@cards.example/",
        "https://cards.example/#part",
        "https://*.cards.example/",
        "https://cards.example/*",
        "https://cards.example\\@evil.example/",
        "https://cards.example/ back",
        "https://cards.example/\nback",
        "https://cárds.example/",
        "https://Cards.example/",
        "HTTPS://cards.example/",
        "https://",
        "https:///back",
        "https:cards.example",
        "https://cards.example:/",
        "https://cards.example:0/",
        "https://cards.example:99999/",
        "https://cards.example;script-src/",
        "https://[::1",
        "javascript:alert(1)",
        "data:text/html,hello",
        "file:///etc/passwd",
        "myapp:/back",
        "com.example.app://host/back",
        "https://cards.example/" + "x" * 1000,
    ],
)
def test_nowhere_else_is_a_browser_sent(uri: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check_redirects(("https://cards.example/", uri), is_public=True)
    assert refused.value.param == "redirect_uris[1]"


def test_an_app_has_some_redirects_and_each_once() -> None:
    many = tuple(f"https://cards.example/{number}" for number in range(MOST_REDIRECTS + 1))
    assert check_redirects(many[1:], is_public=False) == many[1:]
    for uris in ((), many, (many[0], many[0])):
        with pytest.raises(InvalidRequestError):
            check_redirects(uris, is_public=False)


def test_a_homepage_is_https_or_none() -> None:
    assert check_homepage("") == ""
    assert check_homepage("https://cards.example/about") == "https://cards.example/about"
    for url in ("http://127.0.0.1/", "javascript:alert(1)", "com.example.app:/", "https://a@b.example/"):
        with pytest.raises(InvalidRequestError):
            check_homepage(url)
