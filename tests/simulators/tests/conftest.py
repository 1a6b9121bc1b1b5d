"""A Stripe simulator that has just been reset, the official SDK pointed at it, and a webhook receiver."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from simulators.receiver import Receiver, running_receiver

SECRET = "whsec_known_to_both"


class Controls:
    """The simulator's own endpoints below `/stripe`."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(f"/_sim/{path}", json=body)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def settled(self, event: str | None = None) -> list[dict[str, Any]]:
        """The deliveries once none is under way."""
        answer = self.http.get(
            "/_sim/deliveries", params={"settled": "", **({"event": event} if event else {})}
        )
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["deliveries"]
        return result


@pytest.fixture
def controls(simulator: str) -> Iterator[Controls]:
    with httpx.Client(base_url=f"{simulator}/stripe", timeout=60) as http:
        controls = Controls(http)
        controls.post("reset")
        yield controls
        controls.post("reset")


@pytest.fixture
def sdk(simulator: str, controls: Controls) -> Iterator[stripe.StripeClient]:
    with_requests = stripe.RequestsClient()
    yield stripe.StripeClient(
        "sk_test_any",
        base_addresses={"api": f"{simulator}/stripe"},
        http_client=with_requests,
        max_network_retries=0,
    )
    with_requests.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def receiver(controls: Controls) -> Iterator[Receiver]:
    """Registered for every event, with a secret that the tests know."""
    with running_receiver() as receiver:
        controls.post("endpoints", url=receiver.url, secret=SECRET)
        yield receiver
