"""Who is calling, from the socket and from trusted proxies."""

import pytest

from gateway.domain.addresses import client_address, contains, parse_networks

TRUSTED = parse_networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["unknown"], "None"),
        ("", ["198.51.100.1"], "None"),
    ],
)
def test_the_nearest_untrusted_address_is_the_clients(peer: str, told: list[str], address: str) -> None:
    assert str(client_address(peer, told, TRUSTED)) == address


def test_networks_hold_single_addresses_and_blocks_of_both_families() -> None:
    networks = parse_networks([" 192.0.2.1 ", "198.51.100.77/24", "2001:db8::/32", ""])
    for text, inside in (
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("198.51.100.1", True),
        ("2001:db8:1::5", True),
        ("2001:db9::", False),
    ):
        assert contains(networks, client_address(text, [], ())) is inside
    assert not contains(networks, None)
    with pytest.raises(ValueError, match="nowhere"):
        parse_networks(["nowhere"])
