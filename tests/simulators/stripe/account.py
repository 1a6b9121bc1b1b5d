"""One seller's account in memory: objects by type and id, pages, expansion, and the events of each change."""

import copy
import os
import string
import time
from collections import OrderedDict, defaultdict
from typing import Any

from simulators.stripe.errors import StripeError, invalid, missing, refused
from simulators.stripe.requests import CreatedRange, ListParams, Metadata
from simulators.stripe.webhooks import Webhooks

Object = dict[str, Any]
Tree = dict[str, Any]

API_VERSION = "2026-10-28.endive"
KEPT_OBJECTS = 10_000
MAX_EXPAND_LEVELS = 4
METADATA_LIMITS = (50, 40, 500)

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """A random id of Stripe's form."""
    return f"{prefix}_" + "".join(_LETTERS[byte % 62] for byte in os.urandom(length))


def now() -> int:
    """Unix seconds."""
    return int(time.time())


class Account:
    """The books. Fields whose name begins with `_` are answered only when `expand` asks for them.

    Each table keeps its last 10,000 objects. Handlers run without awaiting, so a change is atomic.
    """

    def __init__(self) -> None:
        self.webhooks = Webhooks()
        self.base_url = ""
        self.request: Object = {"id": None, "idempotency_key": None}
        self._tables: dict[str, OrderedDict[str, Object]] = defaultdict(OrderedDict)

    def add(self, item: Object) -> Object:
        """Keeps a new object, for the oldest of its type if there are too many."""
        table = self._tables[item["object"]]
        table[item["id"]] = item
        if len(table) > KEPT_OBJECTS:
            table.popitem(last=False)
        return item

    def get(self, kind: str, object_id: str, param: str = "id") -> Object:
        """The object itself, to be read or changed; raises `resource_missing`."""
        found = self._tables[kind].get(object_id)
        if found is None:
            raise missing(kind, object_id, param)
        return found

    def remove(self, item: Object) -> Object:
        """Forgets the object; the answer of a deletion."""
        del self._tables[item["object"]][item["id"]]
        return {"id": item["id"], "object": item["object"], "deleted": True}

    def find(self, kind: str, **fields: Any) -> list[Object]:
        """Objects whose fields have these values (None: whatever they are), newest first."""
        wanted = {name: value for name, value in fields.items() if value is not None}
        return [
            item
            for item in reversed(self._tables[kind].values())
            if all(item.get(name) == value for name, value in wanted.items())
        ]

    def lookup(self, object_id: str) -> Object | None:
        """The object of any type with this id."""
        return next((table[object_id] for table in self._tables.values() if object_id in table), None)

    def emit(self, kind: str, item: Object, previous: Object | None = None) -> Object:
        """Keeps an event with the object as it is now, and sends it to the endpoints that want it."""
        data: Object = {"object": copy.deepcopy(self.view(item, {}))}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": self.webhooks.wanting(kind),
            "request": dict(self.request),
            "type": kind,
        }
        self.webhooks.publish(self.add(event))
        return event

    def page(self, url: str, items: list[Object], params: ListParams) -> Object:
        """One page of `items`, which are newest first."""
        limit = 10 if params.limit is None else int(params.limit)
        if not 1 <= limit <= 100:
            raise invalid("limit is 1 to 100", "limit", "parameter_invalid_integer")
        if params.created is not None:
            items = [item for item in items if _within(item["created"], params.created)]
        if params.ending_before is not None:
            before = items[: _position(items, params.ending_before, "ending_before")]
            data, more = before[-limit:], len(before) > limit
        else:
            start = 0
            if params.starting_after is not None:
                start = _position(items, params.starting_after, "starting_after") + 1
            data, more = items[start : start + limit], len(items) > start + limit
        return {"object": "list", "data": data, "has_more": more, "url": url}

    def answer(self, item: Object, expand: list[str]) -> Object:
        """The object as its caller gets it."""
        tree: Tree = {}
        for path in expand:
            names = path.split(".")
            if len(names) > MAX_EXPAND_LEVELS:
                raise refused(f"At most {MAX_EXPAND_LEVELS} levels can be expanded", param="expand")
            place = tree
            for name in names:
                place = place.setdefault(name, {})
        if item["object"] == "list":
            tree.setdefault("data", {})
        answer: Object = self.view(item, tree)
        return answer

    def view(self, item: Any, tree: Tree) -> Any:
        """`item` without its hidden fields, but with those `tree` names, ids replaced by their objects."""
        if isinstance(item, str):
            item = self.lookup(item)
        if isinstance(item, list):
            return [self.view(element, tree) for element in item]
        if not isinstance(item, dict):
            raise refused(f"This property cannot be expanded: {', '.join(tree) or item}", param="expand")
        shown = {name: value for name, value in item.items() if not name.startswith("_")}
        for name, below in tree.items():
            if name not in item and f"_{name}" not in item:
                raise refused(f"This property cannot be expanded: {name}", param="expand")
            value = item.get(f"_{name}", item.get(name))
            if value is not None:
                shown[name] = self.view(value, below)
        return shown


def list_of(url: str, data: list[Object]) -> Object:
    """A list inside an object."""
    return {"object": "list", "data": data, "has_more": False, "url": url}


def merged(old: dict[str, str], new: Metadata) -> dict[str, str]:
    """Metadata after an update: an empty value unsets its key, an empty text all of them; raises the 400."""
    if new == "":
        return {}
    result = {key: value for key, value in {**old, **new}.items() if value}
    keys, key_length, value_length = METADATA_LIMITS
    if len(result) > keys:
        raise invalid(f"Metadata can have up to {keys} keys", "metadata")
    for key, value in result.items():
        if len(key) > key_length or len(value) > value_length:
            raise invalid(
                f"Metadata keys have up to {key_length} characters, values {value_length}", f"metadata[{key}]"
            )
    return result


def require(item: Object, field: str, *allowed: str, otherwise: StripeError) -> None:
    """Raises `otherwise` unless the field has one of the values."""
    if item[field] not in allowed:
        raise otherwise


def _position(items: list[Object], object_id: str, param: str) -> int:
    for position, item in enumerate(items):
        if item["id"] == object_id:
            return position
    raise missing("object", object_id, param)


def _within(created: int, bounds: CreatedRange) -> bool:
    return (
        (bounds.gt is None or created > bounds.gt)
        and (bounds.gte is None or created >= bounds.gte)
        and (bounds.lt is None or created < bounds.lt)
        and (bounds.lte is None or created <= bounds.lte)
    )
