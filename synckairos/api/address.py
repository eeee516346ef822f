"""The address of a client, in one spelling."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sanic.compat import Header

Networks = tuple[IPv4Network | IPv6Network, ...]

LOCAL = "local"
"""The name of a client that has no address, as one on a Unix socket."""
CLIENT_OF_IPV6 = 64
"""How many bits of an IPv6 address stand for a client: whoever has one address has the network's 2^64."""
MAX_HOPS = 32
"""How many proxies are followed through `X-Forwarded-For`."""


def client_address(headers: Header, peer: str, trusted: Networks) -> str:
    """The address of the client: the peer of the connection, or what the proxies that are trusted say.

    Each proxy appends to `X-Forwarded-For` the address from which it was asked. So the last address that is
    no trusted proxy's is the client's. What stands before it comes from the client, which can claim anything.
    Where a proxy names something that is no address, the proxy itself counts.
    """
    if not trusted or not is_within(peer, trusted):
        return normal(peer)
    named = ",".join(headers.getall("x-forwarded-for", [])).rsplit(",", MAX_HOPS)
    nearest = peer
    for text in reversed(named[-MAX_HOPS:]):
        if _parsed(text) is None:
            break
        nearest = text
        if not is_within(text, trusted):
            break
    return normal(nearest)


def normal(text: str) -> str:
    """The one spelling of an address, by which clients are told apart.

    IPv6 is cut to its network, an IPv4 address in an IPv6 one is the IPv4 one, and a port is left out.
    """
    address = _parsed(text)
    if address is None:
        return LOCAL
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, CLIENT_OF_IPV6), strict=False))


def is_within(text: str, networks: Networks) -> bool:
    """Whether an address is in one of these networks."""
    address = _parsed(text)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


@lru_cache(4096)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: with or without a port, brackets and a zone; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not (port[0] == ":" and port[1:].isdecimal()):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdecimal():
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
