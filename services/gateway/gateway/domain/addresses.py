"""Client addresses: who is calling, and whether a key may be used from there."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses or CIDR blocks; ValueError names the one that is neither."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts if text.strip())


def contains(networks: Sequence[Network], address: Address | None) -> bool:
    """Whether the address lies in one of the networks; an unknown address lies in none."""
    return address is not None and any(address in network for network in networks)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The address of the client: the socket's peer, or behind trusted proxies the nearest untrusted hop.

    X-Forwarded-For is read from the right, since everything left of the last untrusted address is what that
    host chose to write. None when the address that counts cannot be read.
    """
    address = _parse(peer)
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and contains(trusted, address):
        address = _parse(hops.pop())
    return address


def sender_of(address: Address | None) -> str:
    """Whom a request counts for: an IPv4 address, or an IPv6 network of 64 bits, which one host has whole."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
