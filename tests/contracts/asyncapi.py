"""AsyncAPI 3.0: subjects as channels, what the suite sends and answers as operations.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from common.contracts.rpc import Method, RpcError
from common.contracts.streams import STREAMS

# Structs that travel as arrays need `prefixItems`, which AsyncAPI's own dialect (draft 7) does not have.
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
INFO = {
    "title": "Tollway",
    "version": "1",
    "description": (
        "Events are CloudEvents 1.0 in NATS binary mode on JetStream, written in the transaction of their "
        "fact, delivered at least once with `Nats-Msg-Id` as their id; `ce-sequence` has no gaps per account "
        "within a stream. Amounts in events are decimal strings. Calls are nats.micro request and reply in "
        "MessagePack."
    ),
    "license": {"name": "Apache-2.0"},
}
_TEXT = {"type": "string"}
CLOUDEVENT_HEADERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {**_TEXT, "description": "The event's id; JetStream drops a second one."},
        "Content-Type": {"const": "application/json"},
        "ce-specversion": {"const": "1.0"},
        "ce-id": {**_TEXT, "format": "uuid"},
        "ce-source": {**_TEXT, "description": "`/tollway/<service>`."},
        "ce-type": _TEXT,
        "ce-subject": {**_TEXT, "description": "The account or user."},
        "ce-time": {**_TEXT, "format": "date-time"},
        "ce-sequence": {**_TEXT, "pattern": "^[0-9]{20}$"},
        "traceparent": {**_TEXT, "description": "W3C Trace Context, when the cause was traced."},
        "Nats-Expected-Last-Msg-Id": {**_TEXT, "description": "Keeps events in order; not for readers."},
    },
    "required": [
        "Nats-Msg-Id",
        "Content-Type",
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-subject",
        "ce-time",
        "ce-sequence",
    ],
}

Struct = type[msgspec.Struct]
Components = Callable[[Iterable[Struct], str], dict[str, Any]]


def asyncapi(
    events: Mapping[str, Struct], methods: Iterable[Method[Any, Any]], components: Components
) -> dict[str, Any]:
    """The whole document."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    structs: set[Struct] = set(events.values())
    for tag, event in events.items():
        messages[tag] = _event_message(tag, event)
        channels[tag] = _event_channel(tag)
        operations[f"send.{tag}"] = {"action": "send", "channel": {"$ref": f"#/channels/{tag}"}}
    for method in methods:
        structs.update((method.request, method.response, RpcError))
        for struct in (method.request, method.response, RpcError):
            messages[struct.__name__] = _call_message(struct)
        channels[method.subject] = _channel(method.subject, method.request)
        channels[f"{method.subject}.reply"] = _channel(None, method.response, RpcError)
        operations[f"answer.{method.subject}"] = {
            "action": "receive",
            "summary": f"The caller waits {method.timeout_s:g} s unless it says otherwise.",
            "channel": {"$ref": f"#/channels/{method.subject}"},
            "reply": {"channel": {"$ref": f"#/channels/{method.subject}.reply"}},
        }
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    return {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": "application/json",
        "channels": dict(sorted(channels.items())),
        "operations": dict(sorted(operations.items())),
        "components": {
            "messages": dict(sorted(messages.items())),
            "schemas": components(ordered, "#/components/schemas/{name}"),
        },
    }


def _event_channel(tag: str) -> dict[str, Any]:
    entity = "user" if tag.startswith(("identity.", "oauth.")) else "account"
    root = tag.partition(".")[0]
    stream = next(stream for stream in STREAMS if stream.subjects[0].partition(".")[0] == root)
    return {
        "address": f"{tag}.{{{entity}}}",
        "description": f"JetStream stream {stream.name}, kept {stream.max_age_s // 86_400} days.",
        "messages": {tag: {"$ref": f"#/components/messages/{tag}"}},
        "parameters": {entity: {"description": f"The {entity} it happened to; `*` subscribes to all."}},
    }


def _event_message(tag: str, event: Struct) -> dict[str, Any]:
    return {
        "name": tag,
        "title": event.__name__,
        "summary": (event.__doc__ or "").partition("\n")[0],
        "contentType": "application/json",
        "headers": CLOUDEVENT_HEADERS,
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
    }


def _channel(address: str | None, *structs: Struct) -> dict[str, Any]:
    names = [struct.__name__ for struct in structs]
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _call_message(struct: Struct) -> dict[str, Any]:
    name = struct.__name__
    return {
        "name": name,
        "summary": (struct.__doc__ or "").partition("\n")[0],
        "contentType": "application/msgpack",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"#/components/schemas/{name}"}},
    }
