"""Whether a contract changed only by addition.

Old readers must understand new messages and new readers old ones, since services are upgraded one by one and
streams keep messages for weeks. So a field may be added when it has a default, and a choice may gain a value;
nothing may go, be renamed, change its type or default, or become required.
"""

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_SAID_ABOUT_IT = frozenset(("title", "description", "default", "enum", "$schema", "$defs"))
_INSIDE = frozenset(
    ("properties", "required", "prefixItems", "minItems", "items", "additionalProperties", "anyOf")
)


def breaking_changes(name: str, old: str | None, new: str | None) -> list[str]:
    """What is not additive between two texts of the document `name`; nothing when there was none before.

    The AsyncAPI document repeats the schemas of the others and is not compared.
    """
    if old is None or name == "asyncapi.json":
        return []
    if new is None:
        return [f"{name}: the contract is gone"]
    before, after = json.loads(old), json.loads(new)
    return [f"{name}: {change}" for change in _changes("", before, before, after, after)]


def _changes(where: str, old: Schema, old_root: Schema, new: Schema, new_root: Schema) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    place = where or "the message"
    if _kind(old) != _kind(new):
        yield f"{place} changed its type"
        return
    gone = [value for value in old.get("enum", ()) if value not in new.get("enum", ())]
    if gone:
        yield f"{place} lost the values {gone}"
    if "default" in old and old["default"] != new.get("default", old["default"]):
        yield f"{place} changed its default"
    yield from _object_changes(where, old, new)
    yield from _array_changes(where, old, new)
    for step, before, after in _children(old, new):
        yield from _changes(f"{where}{step}".lstrip("."), before, old_root, after, new_root)


def _object_changes(where: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for field in before.keys() - after.keys():
        yield f"{where}.{field}".lstrip(".") + " is gone"
    for field in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{where}.{field}".lstrip(".") + " is now required"


def _array_changes(where: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("prefixItems", []), new.get("prefixItems", [])
    for position, item in enumerate(before):
        title = item.get("title")
        if position >= len(after):
            yield f"{where}.{title}".lstrip(".") + " is gone"
        elif after[position].get("title") != title:
            yield f"{where}.{title}".lstrip(".") + f" is no longer at position {position}"
    for item in after[old.get("minItems", 0) : new.get("minItems", 0)]:
        yield f"{where}.{item.get('title')}".lstrip(".") + " is now required"


def _children(old: Schema, new: Schema) -> Iterator[tuple[str, Schema, Schema]]:
    """Pairs of schemas inside both, with the step that leads to them."""
    after = new.get("properties", {})
    for field, schema in old.get("properties", {}).items():
        if field in after:
            yield f".{field}", schema, after[field]
    for before, item in zip(old.get("prefixItems", ()), new.get("prefixItems", ()), strict=False):
        if before.get("title") == item.get("title"):
            yield f".{item.get('title')}", before, item
    for key in ("items", "additionalProperties"):
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            yield "[]", old[key], new[key]
    for before, option in zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False):
        yield "", before, option


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema itself when it is a reference into the root's `$defs`; what stands beside it wins."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].rpartition("/")[2]]
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "$defs", "$schema")}
    return {**target, **beside}


def _kind(schema: Schema) -> object:
    """What must not change at all: everything that is compared neither piece by piece nor by its words."""
    rest = {key: value for key, value in schema.items() if key not in _SAID_ABOUT_IT | _INSIDE}
    inside = {key for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)}
    return rest, "enum" in schema, len(schema.get("anyOf", ())), inside
