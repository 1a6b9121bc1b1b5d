"""Keys, parameters, errors, pages and idempotency of the API, and the faults a test can script."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import stripe

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def raw(controls: Any) -> httpx.Client:
    controls.http.headers["authorization"] = "Bearer sk_test_any"
    client: httpx.Client = controls.http
    return client


def customers(sdk: stripe.StripeClient) -> int:
    return len(sdk.v1.customers.list({"limit": 100}).data)


def test_the_same_key_and_parameters_get_the_first_answer(
    sdk: stripe.StripeClient, raw: httpx.Client
) -> None:
    key = {"idempotency-key": "k1"}
    first = raw.post("/v1/customers", data={"email": "a@example.com", "name": "A"}, headers=key)
    again = raw.post("/v1/customers", data={"name": "A", "email": "a@example.com"}, headers=key)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"] != again.headers["request-id"]
    assert again.content == first.content
    assert customers(sdk) == 1


def test_a_key_is_not_good_for_another_request(sdk: stripe.StripeClient) -> None:
    sdk.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError) as other_parameters:
        sdk.v1.customers.create({"email": "b@example.com"}, {"idempotency_key": "k1"})
    assert other_parameters.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        sdk.v1.webhook_endpoints.create(
            {"url": "http://127.0.0.1:9/", "enabled_events": ["*"]}, {"idempotency_key": "k1"}
        )
    assert customers(sdk) == 1


def test_refusals_of_an_endpoint_are_kept_and_those_before_it_are_not(
    sdk: stripe.StripeClient, raw: httpx.Client
) -> None:
    unknown = {"payment_intent": "pi_none"}
    for replayed in (None, "true"):
        answer = raw.post("/v1/refunds", data=unknown, headers={"idempotency-key": "k1"})
        assert answer.status_code == 400
        assert answer.headers.get("idempotent-replayed") == replayed
    for invalid in ({"amount": "1.5"}, {"payment_intent": "pi_none", "charge": "ch_none"}):
        answer = raw.post("/v1/refunds", data=invalid, headers={"idempotency-key": "k2"})
        assert answer.status_code == 400
        assert "idempotent-replayed" not in answer.headers
    assert sdk.v1.customers.create({}, {"idempotency_key": "k2"}).id


def test_a_key_in_use_is_a_conflict(sdk: stripe.StripeClient, controls: Any, raw: httpx.Client) -> None:
    controls.post("config", api="slow", api_delay_s=1)

    def create(_number: int) -> httpx.Response:
        return raw.post("/v1/customers", headers={"idempotency-key": "k1"})

    with ThreadPoolExecutor(5) as threads:
        answers = sorted(threads.map(create, range(5)), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [200, 409, 409, 409, 409]
    assert answers[1].json()["error"]["code"] == "idempotency_key_in_use"
    assert create(0).content == answers[0].content
    assert customers(sdk) == 1


def test_a_lost_answer_is_found_again_by_its_key(sdk: stripe.StripeClient, controls: Any) -> None:
    controls.post("config", api="lost")
    with pytest.raises(stripe.APIConnectionError):
        sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})
    assert sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"}).name == "A"
    assert customers(sdk) == 1


def test_a_server_error_is_kept_like_any_answer(sdk: stripe.StripeClient, controls: Any) -> None:
    controls.post("config", api="error")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            sdk.v1.customers.create({}, {"idempotency_key": "k1"})
        assert failed.value.http_status == 500
    assert customers(sdk) == 0


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        ({"authorization": "Bearer sk_test_other"}, 200),
        ({"authorization": "Basic c2tfdGVzdF9iYXNpYzo="}, 200),
        ({"authorization": "Basic !"}, 401),
        ({"authorization": "Bearer sk_live_other"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({}, 401),
    ],
)
def test_any_secret_test_key_is_good(controls: Any, credentials: dict[str, str], status: int) -> None:
    answer = controls.http.get("/v1/customers", headers=credentials)
    assert answer.status_code == status
    assert answer.headers["request-id"].startswith("req_")


def test_the_sdk_tells_a_bad_key(simulator: str) -> None:
    client = stripe.StripeClient("sk_live_x", base_addresses={"api": f"{simulator}/stripe"})
    with pytest.raises(stripe.AuthenticationError):
        client.v1.customers.list()


LINE = "line_items[0][quantity]=1&line_items[0][price_data][currency]={0}&{1}"
REST = "mode=payment&success_url=http://h/&"
PRODUCT = "line_items[0][price_data][product_data][name]=N&line_items[0][price_data]"


def line(currency: str = "usd", amount: str = "[unit_amount]=100") -> str:
    return REST + LINE.format(currency, PRODUCT + amount)


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ("mode=payment&success_url=http://h/", "line_items", "parameter_missing"),
        (REST + "line_items[0][price_data][currency]=usd", "line_items[0][quantity]", "parameter_missing"),
        (REST + "line_items=", "line_items", None),
        (
            line(amount="[unit_amount]=10.00"),
            "line_items[0][price_data][unit_amount]",
            "parameter_invalid_integer",
        ),
        (
            line(amount="[unit_amount]=1e3"),
            "line_items[0][price_data][unit_amount]",
            "parameter_invalid_integer",
        ),
        (
            line(amount="[unit_amount]=-1"),
            "line_items[0][price_data][unit_amount]",
            "parameter_invalid_integer",
        ),
        (line(amount="[unit_amount]=49"), "line_items", "amount_too_small"),
        (line(amount="[unit_amount]=100000000"), "line_items", "amount_too_large"),
        (line(amount="[unit_amount_decimal]=x"), "line_items[0][price_data][unit_amount_decimal]", None),
        (line(amount="[unit_amount_decimal]=NaN"), "line_items[0][price_data][unit_amount_decimal]", None),
        (line(currency="usdt"), "line_items[0][price_data][currency]", None),
        (line() + "&sucess=1", "sucess", "parameter_unknown"),
        (line() + "&mode[a]=1", "mode[a]", None),
        (line() + "&customer=cus_none", "customer", "resource_missing"),
        (line() + "&expires_at=1", "expires_at", None),
        (line() + "&cancel_url=javascript:1", "cancel_url", "url_invalid"),
        (line() + "&metadata[k]=" + "v" * 501, "metadata[k]", None),
        (line() + "&client_reference_id=" + "r" * 201, "client_reference_id", None),
        (line() + "&[a]=1", "[a]", None),
        (line() + "&a%FF=1%FF", None, None),
        (line() + "&a" + "[a]" * 9 + "=1", "a" + "[a]" * 9, None),
        (line() + "&a=1" * 1001, None, None),
    ],
)
def test_bad_parameters_are_named(raw: httpx.Client, form: str, param: str | None, code: str | None) -> None:
    answer = raw.post("/v1/checkout/sessions", content=form, headers=FORM)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error.get("param"), error.get("code")) == (param, code)
    assert raw.get("/v1/checkout/sessions").json()["data"] == []


def test_the_forms_of_lists_and_decimals_are_understood(raw: httpx.Client) -> None:
    form = line(currency="JPY", amount="[unit_amount_decimal]=50.5") + "&metadata[0]=x&expand[]=line_items"
    answer = raw.post("/v1/checkout/sessions", content=form, headers=FORM).json()
    assert (answer["amount_total"], answer["currency"]) == (51, "jpy")
    assert answer["metadata"] == {"0": "x"}
    assert answer["line_items"]["data"][0]["description"] == "N"


def test_json_is_not_taken(raw: httpx.Client) -> None:
    assert raw.post("/v1/customers", json={"email": "a@example.com"}).status_code == 400


def test_what_is_not_there_is_a_404(sdk: stripe.StripeClient, raw: httpx.Client) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        sdk.v1.checkout.sessions.retrieve("cs_test_none")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    for path in ("/v1/nothing", "/v1/customers/a/b", "/_sim/nothing", "/c/pay/cs_test_none", "/nothing"):
        assert raw.get(path).status_code == 404


def test_pages_go_on_where_the_last_ended(sdk: stripe.StripeClient) -> None:
    made = [sdk.v1.customers.create({"name": str(n)}).id for n in range(7)]
    assert [each.id for each in sdk.v1.customers.list({"limit": 3}).auto_paging_iter()] == made[::-1]
    before = sdk.v1.customers.list({"limit": 2, "ending_before": made[0]})
    assert ([each.id for each in before.data], before.has_more) == ([made[2], made[1]], True)
    assert sdk.v1.customers.list({"created": {"gt": 4_000_000_000}}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        sdk.v1.customers.list({"limit": 101})


def test_metadata_is_merged_and_unset(sdk: stripe.StripeClient) -> None:
    customer = sdk.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = sdk.v1.customers.update(customer.id, {"metadata": {"a": "", "c": "3"}, "name": "N"})
    assert changed.metadata is not None
    assert (changed.metadata.to_dict(), changed.name) == ({"b": "2", "c": "3"}, "N")
    cleared = sdk.v1.customers.update(customer.id, {"metadata": ""})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {}


def test_what_cannot_be_expanded_is_refused(sdk: stripe.StripeClient) -> None:
    customer = sdk.v1.customers.create({"email": "a@example.com"})
    for path in ("nothing", "email", "a.b.c.d.e"):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            sdk.v1.customers.retrieve(customer.id, {"expand": [path]})
        assert refused.value.param == "expand"
