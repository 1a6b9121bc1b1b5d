"""The simulator's own books, its recordings, its configuration, its fast mode and its life as a process."""

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.process import SimulatorFailedError, running_simulator

CHAT = "/openai/v1/chat/completions"
SAID = [{"role": "user", "content": "hi"}]


@pytest.fixture
def http(simulator: str) -> Iterator[httpx.Client]:
    """A client of a simulator that has just been reset."""
    with httpx.Client(base_url=simulator, headers={"authorization": "Bearer sk-any"}) as client:
        client.post("/_sim/reset").raise_for_status()
        yield client
        client.post("/_sim/config", json={"fault": None}).raise_for_status()


def chat(http: httpx.Client, model: str, request_id: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": SAID, **fields}
    return http.post(CHAT, json=body, headers={"x-request-id": request_id})


def served(http: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = http.get("/_sim/served").json()
    return answer


def served_when_closed(http: httpx.Client) -> dict[str, Any]:
    """The counts once no answer is open any more; the test's own timeout bounds the wait."""
    while (now := served(http))["open"]:
        pass
    return now


def test_the_health_check_needs_no_key(simulator: str) -> None:
    assert httpx.get(f"{simulator}/healthz").status_code == 200


def test_what_was_served_equals_the_usage_that_was_reported(http: httpx.Client) -> None:
    usages = [chat(http, "gpt-4o", f"r{i}", n=i).json()["usage"] for i in (1, 2)]
    totals = served(http)
    assert totals["requests"] == 2
    assert totals["prompt_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert totals["completion_tokens"] == sum(usage["completion_tokens"] for usage in usages)
    assert totals["by_id"]["r2"] == {
        "requests": 1,
        "prompt_tokens": 7,
        "completion_tokens": 8,
        "outcome": "complete",
    }


def test_attempts_under_one_id_add_up_and_errors_serve_nothing(http: httpx.Client) -> None:
    chat(http, "sim-500", "same")
    chat(http, "gpt-4o", "same")
    chat(http, "gpt-4o", "same", stream=True)
    totals = served(http)
    assert (totals["requests"], totals["errors"]) == (2, 1)
    assert totals["by_id"]["same"]["requests"] == 2
    assert totals["by_id"]["same"]["completion_tokens"] == 8


def test_a_cut_stream_counts_what_left_before_the_cut(http: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        chat(http, "sim-tokens-20+cut-after-5", "cut", stream=True)
    entry = served_when_closed(http)["by_id"]["cut"]
    assert (entry["completion_tokens"], entry["outcome"]) == (5, "cut")


def test_a_client_that_leaves_ends_the_answer(http: httpx.Client) -> None:
    body = {"model": "sim-tokens-1000+slow-chunks-20ms", "messages": SAID, "stream": True}
    with http.stream("POST", CHAT, json=body, headers={"x-request-id": "left"}) as answer:
        arriving = answer.iter_raw()
        next(arriving)
        assert served(http)["open"] == 1
    entry = served_when_closed(http)["by_id"]["left"]
    assert entry["outcome"] == "client_gone"
    assert 0 <= entry["completion_tokens"] < 1000


def test_requests_are_kept_byte_for_byte(http: httpx.Client) -> None:
    odd = b'{ "model" :"gpt-4o",\n"messages":[{"role":"user","content":"\\u4e2d \xe4\xb8\xad"}],"x":1e2 }'
    http.post(CHAT + "?a=1&b", content=odd, headers={"X-Odd": "yes"})
    last = http.get("/_sim/requests?limit=1").json()[0]
    assert base64.b64decode(last["body_base64"]) == odd
    assert (last["method"], last["path"], last["query"]) == ("POST", CHAT, "a=1&b")
    assert ["x-odd", "yes"] in last["headers"]


def test_recordings_are_bounded(http: httpx.Client) -> None:
    for _ in range(205):
        http.get("/openai/v1/nowhere")
    assert len(http.get("/_sim/requests?limit=1000").json()) == 200
    http.post(CHAT, content=b" " * (1024 * 1024 + 1))
    last = http.get("/_sim/requests?limit=1").json()[0]
    assert (last["body_bytes"], last["body_base64"]) == (1024 * 1024 + 1, None)


def test_a_configured_fault_strikes_models_that_name_none(http: httpx.Client) -> None:
    http.post("/_sim/config", json={"fault": "sim-503"}).raise_for_status()
    assert chat(http, "gpt-4o", "a").status_code == 503
    assert chat(http, "sim-tokens-3", "b").status_code == 200
    http.post("/_sim/config", json={"fault": None}).raise_for_status()
    assert chat(http, "gpt-4o", "c").status_code == 200


@pytest.mark.parametrize("body", [b"{", b'{"fault":"sim-typo"}', b'{"latency":1}'])
def test_a_bad_configuration_is_refused(http: httpx.Client, body: bytes) -> None:
    assert http.post("/_sim/config", content=body).status_code == 400


def test_a_twenty_megabyte_body_is_answered(http: httpx.Client) -> None:
    content = "x" * 20_000_000
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], "max_tokens": 2}
    assert http.post(CHAT, json=body).json()["usage"]["prompt_tokens"] == 7


def test_fast_answers_have_the_ordinary_shape_and_faults_still_work() -> None:
    with running_simulator("--fast") as url, httpx.Client(base_url=url) as http:
        http.headers["authorization"] = "Bearer sk-any"
        whole = chat(http, "gpt-4o-mini", "a")
        assert whole.json()["usage"]["completion_tokens"] == 64
        plain = chat(http, "gpt-4o-mini", "b", stream=True).text
        assert plain.count('"delta":{"content":" ') == 64
        assert '"usage"' not in plain
        assert plain.endswith("data: [DONE]\n\n")
        asked = chat(http, "gpt-4o-mini", "c", stream=True, stream_options={"include_usage": True}).text
        assert '"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":64,' in asked
        assert chat(http, "sim-503", "d").status_code == 503
        totals = served(http)
        assert (totals["requests"], totals["completion_tokens"], totals["by_id"]) == (3, 192, {})
        assert http.get("/_sim/requests").json() == []


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly_even_with_a_hanging_answer(stop: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "simulators", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().decode().removeprefix("simulators ready ").strip()
        ended: list[Exception] = []

        def hang() -> None:
            body = {"model": "sim-hang-after-1", "messages": SAID, "stream": True}
            try:
                httpx.post(url + CHAT, json=body, headers={"authorization": "Bearer k"}, timeout=20)
            except httpx.HTTPError as error:
                ended.append(error)

        caller = threading.Thread(target=hang)
        caller.start()
        with httpx.Client(base_url=url) as http:
            while not served(http)["open"]:
                pass
        process.send_signal(stop)
        assert process.wait(10) == 0
        caller.join(10)
        assert isinstance(ended[0], httpx.RemoteProtocolError)
        assert process.stderr.read() == b""


def test_a_taken_port_is_an_error_and_not_a_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = running_simulator(port=taken.getsockname()[1])
        with pytest.raises(SimulatorFailedError):
            simulator.__enter__()
