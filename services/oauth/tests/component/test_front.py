"""The paths that are answered before Litestar's routing behave as those behind it."""

from typing import Any

import pytest

CHARGES = "/oauth/v1/charges"


async def test_other_methods_of_a_hot_path_are_refused_or_go_on(oauth: Any, bare_shop: Any) -> None:
    shop = await bare_shop.open("0")
    for method, path in (("GET", "/oauth/token"), ("PUT", "/oauth/token"), ("DELETE", CHARGES)):
        answer = await oauth.http.request(method, path, headers=shop.headers)
        assert answer.status_code == 405, path
    listed = await oauth.http.get(CHARGES, headers=shop.headers)
    assert (listed.status_code, listed.json()["data"]) == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/oauth/token", 405, "POST"),
        ("PUT", "/oauth/revoke", 405, "POST"),
        ("GET", "/oauth/par", 405, "POST"),
        ("DELETE", "/oauth/introspect", 405, "POST"),
        ("GET", "/oauth/device_authorization", 405, "POST"),
        ("PATCH", "/oauth/authorize", 405, "GET"),
        ("GET", "/oauth/tokens", 404, ""),
        ("POST", "/oauth/token/x", 404, ""),
    ],
)
async def test_an_endpoint_that_is_not_there_is_told_in_the_words_of_the_protocol(
    oauth: Any, method: str, path: str, status: int, allow: str
) -> None:
    answer = await oauth.http.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert allow in answer.headers.get("allow", "")


@pytest.mark.parametrize("path", ["/oauth/v1/nothing", "/oauth/v1/charges/x/y/z", "/api/oauth/nothing", "/x"])
async def test_elsewhere_what_is_not_there_is_a_problem(oauth: Any, path: str) -> None:
    answer = await oauth.http.get(path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_slash_at_the_end_changes_nothing(oauth: Any, bare_shop: Any) -> None:
    shop = await bare_shop.open("0")
    answer = await oauth.http.post(f"{CHARGES}/", json={"amount": "0"}, headers=shop.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    answer = await oauth.http.post("/oauth/token/", data={"grant_type": "password", "client_id": "x"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_body_that_is_no_charge_is_a_problem_and_names_what_is_wrong(
    oauth: Any, bare_shop: Any
) -> None:
    shop = await bare_shop.open("0")
    headers = shop.headers | {"idempotency-key": "k", "x-request-id": "0190b1a0-0000-7000-8000-000000000000"}
    for body in (b"", b"{", b"\xff", b"[]", b'{"amount": null}', b'{"amount": "1", "metadata": {"a": 1}}'):
        answer = await oauth.http.post(CHARGES, content=body, headers=headers)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "invalid_request"), body
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert "$" not in problem["detail"]
    assert (problem["param"], problem["detail"]) == ("metadata", "Expected `str`, got `int`")
    answer = await oauth.http.post(CHARGES, content=b" " * (2**20 + 1), headers=headers)
    assert answer.status_code == 413


async def test_what_nobody_foresaw_is_told_without_its_text(oauth: Any, bare_shop: Any) -> None:
    shop = await bare_shop.open("0")
    await oauth.rows("ALTER TABLE charges RENAME TO gone")
    headers = shop.headers | {"idempotency-key": "k"}
    answer = await oauth.http.post(CHARGES, json={"amount": "1"}, headers=headers)
    assert answer.status_code == 500
    assert answer.json()["detail"] == "Internal error."
    assert "gone" not in answer.text
