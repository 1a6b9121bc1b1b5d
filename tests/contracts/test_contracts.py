"""The documents say what the code does, and a contract changes by addition only."""

import copy
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from common.contracts.billing import TopupCompleted
from common.contracts.leases import LeaseRequest
from common.contracts.principals import Budget
from common.kit.ids import uuid7
from common.kit.outbox import OutboxPublisher
from contracts.asyncapi import CLOUDEVENT_HEADERS
from contracts.compare import breaking_changes
from contracts.generate import HOME, documents, events, methods, written

FRESH = documents()
BASE = os.environ.get("CONTRACTS_BASE", "HEAD")
"""The commit contracts are compared with: CI names the branch that a change goes to."""

Change = Callable[[dict[str, Any]], object]

TOPUP = TopupCompleted("1", 1, "a", "1.5", "admin", "3")
LEASE = LeaseRequest("l", 0, "r", "a", "s", needs_nano=(1, 2), budget=Budget(5, "day"))


def test_the_documents_are_those_of_the_code() -> None:
    stale = {name for name in FRESH.keys() | written().keys() if FRESH.get(name) != written().get(name)}
    assert not stale, f"run `make contracts`: {sorted(stale)}"


def test_contracts_changed_by_addition_only() -> None:
    prefix = HOME.relative_to(HOME.parents[1]).as_posix()
    listed = git("ls-tree", "-r", "--name-only", BASE, f"{prefix}/")
    changes = []
    for path in listed.splitlines():
        if path.endswith(".json"):
            name = path.removeprefix(f"{prefix}/")
            changes += breaking_changes(name, git("show", f"{BASE}:{path}"), FRESH.get(name))
    assert not changes, "\n" + "\n".join(changes)


def git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=HOME.parents[1], capture_output=True, check=True, text=True
    ).stdout


def test_the_same_contracts_give_the_same_text() -> None:
    assert documents() == FRESH


def test_every_event_and_call_has_its_document() -> None:
    assert {f"events/{tag}.json" for tag in events()} | {
        f"rpc/{each.subject}.json" for each in methods()
    } < set(FRESH)
    assert "events/usage.recorded.v1.json" in FRESH
    assert "rpc/rpc.billing.lease.request.v1.json" in FRESH


@pytest.mark.parametrize("name", sorted(set(FRESH) - {"asyncapi.json"}))
def test_every_document_is_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(FRESH[name]))


def test_what_the_code_sends_is_what_its_schema_describes() -> None:
    schema = Draft202012Validator(json.loads(FRESH["events/billing.topup.completed.v1.json"]))
    sent = json.loads(msgspec.json.encode(TOPUP))
    schema.validate(sent)
    assert not schema.is_valid({**sent, "amount": 1.5})
    call = Draft202012Validator(json.loads(FRESH["rpc/rpc.billing.lease.request.v1.json"]))
    request = json.loads(msgspec.json.encode(LEASE))
    call.validate({"request": request})
    assert not call.is_valid({"request": request[:4]})


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads(FRESH["asyncapi.json"])

    def check(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target: Any = document
                for word in node["$ref"].removeprefix("#/").split("/"):
                    target = target[word]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)
    assert {operation["action"] for operation in document["operations"].values()} == {"send", "receive"}
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {
        "usage.recorded.v1.{account}",
        "identity.key.created.v1.{user}",
        "rpc.billing.lease.close.v1",
    } < addresses


def test_the_outbox_sends_the_headers_that_are_described() -> None:
    publisher = OutboxPublisher.__new__(OutboxPublisher)
    publisher._source = "/tollway/billing"
    row = SimpleNamespace(
        id=uuid7(),
        subject="billing.balance.low.v1.a",
        sequence=7,
        traceparent="00-1-2-01",
    )
    lines = publisher._lines(cast("Any", row), datetime.now(UTC).isoformat()).splitlines()
    headers = dict(line.split(": ", 1) for line in lines) | {"Nats-Msg-Id": row.id}
    Draft202012Validator(CLOUDEVENT_HEADERS).validate(headers)
    assert set(headers) <= set(CLOUDEVENT_HEADERS["properties"])
    assert set(CLOUDEVENT_HEADERS["required"]) <= set(headers)


EVENT = "events/billing.topup.completed.v1.json"
CALL = "rpc/rpc.billing.lease.request.v1.json"


def struct(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["$defs"][name]
    return found


def topup(document: dict[str, Any]) -> dict[str, Any]:
    return struct(document, "TopupCompleted")


def lease(document: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = struct(document, "LeaseRequest")["prefixItems"]
    return items


def changed(name: str, change: Change) -> list[str]:
    document = json.loads(FRESH[name])
    after = copy.deepcopy(document)
    change(after)
    assert after != document
    return breaking_changes(name, json.dumps(document), json.dumps(after))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (EVENT, lambda new: topup(new)["properties"].update(note={"type": "string", "default": ""})),
        (EVENT, lambda new: topup(new).update(description="Said better.")),
        (CALL, lambda new: lease(new).append({"type": "integer", "default": 0, "title": "more"})),
        (CALL, lambda new: lease(new)[5]["enum"].append("app")),
        (CALL, lambda new: struct(new, "Budget")["prefixItems"].append({"type": "string", "default": ""})),
    ],
)
def test_additions_pass(name: str, change: Change) -> None:
    assert changed(name, change) == []


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (EVENT, lambda new: topup(new)["properties"].pop("amount"), "amount is gone"),
        (
            EVENT,
            lambda new: topup(new)["properties"].update(sum=topup(new)["properties"].pop("amount")),
            "amount is gone",
        ),
        (
            EVENT,
            lambda new: topup(new)["properties"]["amount"].update(type="number"),
            "amount changed its type",
        ),
        (
            EVENT,
            lambda new: topup(new)["properties"].update(
                amount={"anyOf": [{"type": "string"}, {"type": "null"}]}
            ),
            "amount changed its type",
        ),
        (EVENT, lambda new: topup(new)["required"].append("currency"), "currency is now required"),
        (
            EVENT,
            lambda new: (topup(new)["properties"].update(x={}), topup(new)["required"].append("x")),
            "x is now required",
        ),
        (
            EVENT,
            lambda new: topup(new)["properties"]["currency"].update(default="EUR"),
            "changed its default",
        ),
        (EVENT, lambda new: topup(new)["properties"]["type"].update(enum=["other"]), "type lost the values"),
        (CALL, lambda new: lease(new).pop(), "request.budget is gone"),
        (
            CALL,
            lambda new: lease(new).insert(3, lease(new).pop(4)),
            "request.account is no longer at",
        ),
        (CALL, lambda new: struct(new, "LeaseRequest").update(minItems=6), "spender_kind is now required"),
        (CALL, lambda new: lease(new)[5]["enum"].remove("grant"), "spender_kind lost the values ['grant']"),
        (CALL, lambda new: lease(new)[6]["items"].update(type="string"), "needs_nano[] changed its type"),
        (
            CALL,
            lambda new: struct(new, "Budget")["prefixItems"][0].update(type="string"),
            "budget.limit_nano changed its type",
        ),
        (CALL, lambda new: new["properties"].pop("response"), "response is gone"),
    ],
)
def test_anything_else_is_told(name: str, change: Change, told: str) -> None:
    changes = changed(name, change)
    assert changes
    assert all(line.startswith(f"{name}: ") for line in changes)
    assert any(told in line for line in changes), changes


def test_a_contract_that_vanished_is_told_and_a_new_one_is_not() -> None:
    assert breaking_changes(EVENT, FRESH[EVENT], None) == [f"{EVENT}: the contract is gone"]
    assert breaking_changes(EVENT, None, FRESH[EVENT]) == []
