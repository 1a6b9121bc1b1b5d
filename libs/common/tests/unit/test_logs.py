"""Logs: one JSON object a line."""

import logging
import sys
from collections.abc import Iterator

import msgspec
import pytest

from common.kit.logs import JsonFormatter, configure_logging, request_id_var


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def line(message: str, *args: object, extra: dict[str, object] | None = None, failed: bool = False) -> object:
    record = logging.getLogger("sample").makeRecord(
        "sample", logging.WARNING, __file__, 1, message, args, sys.exc_info() if failed else None, extra=extra
    )
    text = JsonFormatter("billing", "r-1").format(record)
    assert "\n" not in text
    return msgspec.json.decode(text)


def test_a_record_says_what_when_and_who() -> None:
    entry = line("moved %d of %s", 3, "a\nb")
    assert isinstance(entry, dict)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "WARNING",
        "service": "billing",
        "replica": "r-1",
        "logger": "sample",
        "message": "moved 3 of a\nb",
    }


def test_the_request_id_of_the_context_is_on_the_line() -> None:
    token = request_id_var.set("request-1")
    try:
        entry = line("x")
    finally:
        request_id_var.reset(token)
    assert isinstance(entry, dict)
    assert entry["request_id"] == "request-1"


def test_extra_values_are_fields_whatever_they_are() -> None:
    entry = line("x", extra={"count": 3, "huge": 2**70, "kind": object})
    assert isinstance(entry, dict)
    assert entry["count"] == 3
    assert "object" in entry["kind"]


def test_a_message_that_is_not_unicode_still_makes_a_line() -> None:
    entry = line("\ud800", extra={"count": 3})
    assert isinstance(entry, dict)
    assert (entry["message"], entry["count"]) == ("\\ud800", "3")


def test_an_exception_is_one_string_with_its_traceback() -> None:
    try:
        raise KeyError("missing")  # noqa: TRY301
    except KeyError:
        entry = line("failed", failed=True)
    assert isinstance(entry, dict)
    assert "Traceback" in entry["exception"]
    assert "KeyError: 'missing'" in entry["exception"]


def test_every_logger_of_the_process_writes_such_lines(
    restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("gateway", "r-2", "INFO")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /secret")
    logging.getLogger("anything").debug("not shown")
    entries = [msgspec.json.decode(text) for text in capsys.readouterr().err.splitlines()]
    assert [(entry["logger"], entry["service"], entry["message"]) for entry in entries] == [
        ("uvicorn.error", "gateway", "started")
    ]
