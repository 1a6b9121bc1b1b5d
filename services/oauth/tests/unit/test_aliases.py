"""The dialects' own rules: origins of unregistered apps, templates of redirects, envelopes."""

import base64

import pytest

from common.contracts.errors import ForbiddenError, ServiceError
from common.testing.clock import START
from oauth.aliases.domain.envelopes import CALLS, failure, told
from oauth.aliases.domain.origins import make_app, read_origin
from oauth.aliases.domain.redirects import add_query, fill_template, read_template
from oauth.domain.errors import InvalidRequestError, InvalidTokenError
from oauth.domain.scopes import SCOPES


@pytest.mark.parametrize(
    ("callback", "origin"),
    [
        ("https://cards.example/back", "https://cards.example"),
        ("https://CARDS.example:443/back?a=b", "https://cards.example"),
        ("https://cards.example:3000/", "https://cards.example:3000"),
        ("http://localhost:3000/callback", "http://localhost"),
        ("http://127.0.0.1:51234/", "http://127.0.0.1"),
        ("http://[::1]:51234/", "http://[::1]"),
    ],
)
def test_the_app_of_a_callback_is_its_origin(callback: str, origin: str) -> None:
    assert read_origin(callback) == origin
    app = make_app(origin, START)
    assert (app.client_id, app.is_unregistered) == (origin.replace("//", ""), True)


@pytest.mark.parametrize(
    "callback",
    [
        "",
        "http://cards.example/back",
        "http://127.0.0.1.evil.example/",
        "http://localhost@evil.example/",
        "https://user:password@cards.example/",
        "https://cards.example/#fragment",
        "https://cards.example/?code=mine",
        "https://cards.example\\@evil.example/",
        "https://cards.example/ back",
        "https://cards.example/\r\nset-cookie: a=b",
        "https://cärds.example/",
        "https://cards.example:port/",
        "https:///back",
        "javascript:alert(1)",
        "myapp://back",
        "https://cards.example/" + "x" * 2048,
    ],
)
def test_what_is_no_https_url_or_loopback_is_no_callback(callback: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_origin(callback)
    assert refused.value.param == "callback_url"


def _encoded(template: str) -> str:
    return base64.b64encode(template.encode()).decode()


def test_a_template_adds_a_query_and_what_is_filled_in_stays_in_its_place() -> None:
    back = "https://cards.example/back"
    template = read_template(_encoded("?code={code}&state={state}&tgid=114514&x={y}"), back)
    assert fill_template(back, template, "toc_a", "{code}&code=evil#") == (
        "https://cards.example/back?code=toc_a&state=%7Bcode%7D%26code%3Devil%23&tgid=114514&x={y}"
    )


@pytest.mark.parametrize(
    ("encoded", "back"),
    [
        ("%%%", "https://cards.example/"),
        (_encoded(".evil.example/?code={code}"), "https://cards.example"),
        (_encoded("@evil.example/?code={code}"), "https://cards.example"),
        (_encoded("?state={state}"), "https://cards.example/"),
        (_encoded("?code={code}#there"), "https://cards.example/"),
        (_encoded("?code={code}\r\nset-cookie: a=b"), "https://cards.example/"),
        (_encoded("?code={code}&é"), "https://cards.example/"),
        (_encoded("?code={code}" + "x" * 2048), "https://cards.example/"),
        (_encoded("?code={code}"), "https://cards.example/?a=b"),
    ],
)
def test_a_template_that_would_lead_elsewhere_is_refused(encoded: str, back: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_template(encoded, back)


def test_a_query_is_added_behind_the_one_there_is() -> None:
    assert add_query("https://x.example/", {"code": "a b"}) == "https://x.example/?code=a+b"
    assert add_query("https://x.example/?q=%7e", {"code": "c"}) == "https://x.example/?q=%7e&code=c"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidTokenError("gone"), 401, "oauth_invalid_token_error"),
        (ServiceError("poor", code="insufficient_balance", status=402), 402, "insufficient_balance_error"),
        (ForbiddenError("no", code="charge_too_large"), 403, "charge_too_large_error"),
        (ServiceError("x"), 500, "internal_error"),
    ],
)
def test_an_error_is_told_in_the_envelope(error: ServiceError, status: int, kind: str) -> None:
    assert (failure(error)["statusCode"], failure(error)["errorType"], failure(error)["data"]) == (
        status,
        kind,
        None,
    )


def test_every_call_of_the_table_asks_a_scope_that_there_is_and_tells_only_what_it_names() -> None:
    assert {call.scope for call in CALLS} <= SCOPES.keys()
    assert len({call.path for call in CALLS}) == len(CALLS)
    assert told(CALLS[0], {"sub": "s", "name": "Ann"}) == {"userId": "s"}
