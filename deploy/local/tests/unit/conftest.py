"""A gateway that a test answers for, and the command line that asks it."""

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from tollway.cli import app


class Gateway:
    """Answers from a table by path, and keeps (method, path with query, body) of what it was asked.

    An answer may be a function of the query's first values. It knows the key `right` alone.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.url = ""

    def run(self, *arguments: str, key: str = "right") -> Result:
        """The command, whatever comes of it."""
        return CliRunner().invoke(app, [*arguments, "--url", self.url, "--admin-key", key])

    def done(self, *arguments: str) -> str:
        """What a command that must succeed prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def answer(self, path: str) -> Any:
        """Of the table."""
        parts = urlsplit(path)
        found = self.answers[parts.path]
        if not callable(found):
            return found
        return found({name: values[0] for name, values in parse_qs(parts.query).items()})


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers["authorization"] != "Bearer right":
                self._send(401, {"detail": "The key is unknown.", "status": 401})
                return
            gateway.asked.append((self.command, self.path, json.loads(body) if body else None))
            self._send(200, gateway.answer(self.path))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  names that http.server calls

        def _send(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            """Nothing on the test's terminal."""

    return Handler


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """One that answers what the test's module names ANSWERS, and has been asked nothing yet."""
    gateway = Gateway(request.module.ANSWERS)
    with HTTPServer(("127.0.0.1", 0), _handler(gateway)) as server:
        gateway.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield gateway
        server.shutdown()
        thread.join()
