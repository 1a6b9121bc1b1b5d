"""JSON Schema (2020-12) of every event, call and internal message of `common.contracts`.

Structs that travel as arrays (`array_like`) lose their field names on the wire; here each position is titled
with its name, so that a swap of two fields of one type is a change that can be seen.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

import common.contracts
from common.contracts.plans import PlanBook
from common.contracts.prices import PriceBook
from common.contracts.principals import Principal
from common.contracts.rpc import Method, RpcError
from common.contracts.usage import UsageBatch
from contracts.asyncapi import asyncapi

HOME = Path(__file__).resolve().parents[2] / "docs" / "contracts"
INTERNAL: tuple[type[msgspec.Struct], ...] = (PlanBook, PriceBook, Principal, RpcError, UsageBatch)

Schema = dict[str, Any]


def documents() -> dict[str, str]:
    """Every file of docs/contracts by its name: the same text for the same contracts."""
    found: dict[str, Schema] = {}
    for tag, event in events().items():
        found[f"events/{tag}.json"] = _document(tag, event)
    for method in methods():
        found[f"rpc/{method.subject}.json"] = _document(method.subject, method.request, method.response)
    for struct in INTERNAL:
        found[f"internal/{struct.__name__}.json"] = _document(struct.__name__, struct)
    found["asyncapi.json"] = asyncapi(events(), methods(), _components)
    return {name: json.dumps(found[name], indent=2, ensure_ascii=False) + "\n" for name in sorted(found)}


def written() -> dict[str, str]:
    """The files as they lie in docs/contracts."""
    return {
        path.relative_to(HOME).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(HOME.rglob("*.json"))
    }


def events() -> dict[str, type[msgspec.Struct]]:
    """Every public event by its type tag."""
    found = {}
    for struct in _structs():
        config = struct.__struct_config__
        if config.tag_field == "type":
            found[str(config.tag)] = struct
    return dict(sorted(found.items()))


def methods() -> list[Method[Any, Any]]:
    """Every call between services, by subject."""
    found = {
        value.subject: value
        for module in _modules()
        for value in vars(module).values()
        if isinstance(value, Method)
    }
    return [found[subject] for subject in sorted(found)]


def _document(title: str, *structs: type[msgspec.Struct]) -> Schema:
    """One struct as the document itself; a request and a response under their own keys."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    components = _components(structs, "#/$defs/{name}")
    references: list[Schema] = [{"$ref": f"#/$defs/{struct.__name__}"} for struct in structs]
    if len(structs) == 1:
        return {**head, **references[0], "$defs": components}
    named = dict(zip(("request", "response"), references, strict=True))
    return {**head, "properties": named, "$defs": components}


def _components(structs: Iterable[type[msgspec.Struct]], reference: str) -> dict[str, Schema]:
    _, components = msgspec.json.schema_components(structs, ref_template=reference)
    by_name = {struct.__name__: struct for struct in _structs()}
    for name, schema in components.items():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        if "prefixItems" in schema:
            fields = msgspec.structs.fields(by_name[name])
            for field, item in zip(fields, schema["prefixItems"], strict=True):
                item["title"] = field.name
    return dict(sorted(components.items()))


def _structs() -> Iterator[type[msgspec.Struct]]:
    for module in _modules():
        for value in vars(module).values():
            is_struct = inspect.isclass(value) and issubclass(value, msgspec.Struct)
            if is_struct and value.__module__ == module.__name__:
                yield value


def _modules() -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(common.contracts.__path__, "common.contracts."):
        yield importlib.import_module(info.name)
