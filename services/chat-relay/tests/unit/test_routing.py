"""Which channel serves a request."""

from collections import Counter

import pytest

from chat_relay.domain.channels import Channel, RoutingTable, check_channel
from common.contracts.errors import InvalidRequestError


def channel(name: str, **fields: object) -> Channel:
    return Channel(**{"name": name, "kind": "openai", "base_url": "https://x/v1", "models": ("m",), **fields})  # type: ignore[arg-type]


def name_of(target: object) -> str:
    return target.name  # type: ignore[attr-defined, no-any-return]


def test_a_higher_priority_is_tried_first_and_the_rest_in_order() -> None:
    table = RoutingTable([channel("low"), channel("high", priority=5), channel("mid", priority=3)])
    tried: list[object] = []
    while (target := table.choose("m", "default", tried)) is not None:  # type: ignore[arg-type]
        tried.append(target)
    assert [name_of(target) for target in tried] == ["high", "mid", "low"]


def test_equals_share_by_weight() -> None:
    table = RoutingTable([channel("a", weight=3), channel("b", weight=1), channel("c", weight=0)])
    counts = Counter(name_of(table.choose("m", "default")) for _ in range(4_000))
    assert counts["c"] == 0
    assert 2_700 < counts["a"] < 3_300


def test_groups_models_and_the_switch_decide_who_is_served() -> None:
    table = RoutingTable(
        [channel("a", groups=("vip",)), channel("b", enabled=False), channel("c", models=("z",))]
    )
    assert table.serves("m", "vip")
    assert not table.serves("m", "default")
    assert table.models("default") == ["z"]
    assert table.choose("m", "default") is None


def test_keys_are_used_in_turn() -> None:
    table = RoutingTable([channel("a", api_keys=("k1", "k2"))])
    target = table.choose("m", "default")
    assert target is not None
    assert {target.next_key(), target.next_key()} == {"k1", "k2"}


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://10.0.0.7:8000/v1", "http://[::1]:80"])
def test_private_addresses_are_the_operators_right(url: str) -> None:
    assert check_channel(channel("a", base_url=url)).base_url == url


@pytest.mark.parametrize(
    "url", ["", "api.openai.com", "file:///etc/passwd", "https://", "https://x/v1?key=1"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="base_url"):
        check_channel(channel("a", base_url=url))
