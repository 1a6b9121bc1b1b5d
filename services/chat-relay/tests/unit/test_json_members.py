"""Only the intended bytes of a JSON object change."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_relay.domain.json_members import insert, members, replace

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=6)
STYLES = st.tuples(
    st.booleans(), st.sampled_from([None, 1, 4]), st.sampled_from([(",", ":"), (" , ", " : ")])
)


def written(value: Any, style: tuple[bool, int | None, tuple[str, str]]) -> bytes:
    ascii_only, indent, separators = style
    return json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators).encode(
        "utf-8", "surrogatepass"
    )


@given(OBJECTS, STYLES)
def test_every_member_is_found_where_it_is(value: dict[str, Any], style: Any) -> None:
    body = written(value, style)
    found = list(members(body))
    assert [member.name for member in found] == list(value)
    for member in found:
        assert json.loads(body[member.start : member.end]) == value[member.name]


@given(OBJECTS, STYLES, VALUES, st.data())
def test_a_replacement_changes_one_value_and_no_other_byte(
    value: dict[str, Any], style: Any, new: Any, data: st.DataObject
) -> None:
    value["key"] = 1
    body = written(value, style)
    member = data.draw(st.sampled_from(list(members(body))))
    text = written(new, (True, None, (",", ":")))
    changed = replace(body, member, text)
    assert changed[: member.start] == body[: member.start]
    assert changed[member.start : member.start + len(text)] == text
    assert changed[member.start + len(text) :] == body[member.end :]
    assert json.loads(changed) == value | {member.name: new}


@given(OBJECTS, STYLES)
def test_an_insertion_adds_one_member_and_changes_no_byte(value: dict[str, Any], style: Any) -> None:
    body = written(value, style)
    changed = insert(body, b'"added":{"x":true}')
    assert json.loads(changed) == {"added": {"x": True}} | value
    assert changed.replace(b'"added":{"x":true},', b"", 1) == body or not value


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{}", []),
        (b' \r\n{ "a" : [ "}" , {"b":"]\\""} ] , "a" : -1.5e3 }', ["a", "a"]),
        (b'{"mod\\u0065l":null,"\\ud800":1,"":true}', ["model", "", ""]),
    ],
)
def test_odd_but_valid_objects_are_read(body: bytes, names: list[str]) -> None:
    assert [member.name for member in members(body)] == names
