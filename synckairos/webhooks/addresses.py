"""Which addresses a webhook may have: https in the public network and, in development, this machine.

A name says nothing about where it leads, and may lead elsewhere a moment later. So it is looked up at every
attempt, all of its addresses are judged, and the connection goes to one of those that were judged.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from synckairos.webhooks.model import MOST_URL

Address: TypeAlias = IPv4Address | IPv6Address

MOST_ADDRESSES = 8
"""How many addresses of a name are tried."""
LOOKUPS = 256
"""How many names are looked up at the same time. A look-up of which no server knows anything takes long."""

# What the registries of special addresses have, whatever the Python that runs this knows of them.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Within `_PUBLIC_6`: protocols such as Teredo, documentation, and 6to4, which leads to any IPv4 address."""
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
_MAPPED = IPv6Network("::ffff:0:0/96")


class Forbidden(Exception):
    """An address that no webhook may have; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a webhook is.

    host: a name in ASCII, or an address without brackets
    target: path and query, as they are asked for
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


def place_of(url: str) -> Place:
    """The parts of a URL. Raises Forbidden when no webhook can have it, wherever its name leads."""
    if len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Forbidden(f"must be a URL in ASCII of at most {MOST_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("must be a URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Forbidden("must be an https URL")
    if "@" in parts.netloc:
        raise Forbidden("must have no user and no password")
    if "#" in url:
        raise Forbidden("must have no fragment")
    if "%" in parts.netloc or port == 0:
        raise Forbidden("must be a URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Place(parts.scheme, parts.hostname.rstrip("."), default if port is None else port, target)


def check_scheme(place: Place, *, development: bool) -> None:
    """Raise Forbidden when a place cannot be asked wherever it leads."""
    if place.scheme != "https" and not development:
        raise Forbidden("must be an https URL")


def judge(place: Place, addresses: list[Address], *, development: bool) -> None:
    """Raise Forbidden unless all these addresses, to which a place leads, may be asked.

    development: whether this machine may be asked as well, also without TLS
    """
    if development and addresses and all(is_loopback(each) for each in addresses):
        return
    if place.scheme != "https":
        here = "; http is for this machine in development" if development else ""
        raise Forbidden(f"must be an https URL{here}")
    for each in addresses:
        if not is_public(each):
            raise Forbidden("leads to an address that is not in the public network")


def is_public(address: Address) -> bool:
    """Whether an address is one of the public network, where the machines of others are."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address in _NAT64:  # in networks that have IPv6 alone every IPv4 address looks like this
        return is_public(_last_four_bytes(address))
    if address not in _PUBLIC_6 or any(address in network for network in _NOT_PUBLIC_6):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP


def is_loopback(address: Address) -> bool:
    """Whether an address is this machine."""
    if isinstance(address, IPv6Address) and address in _MAPPED:
        address = _last_four_bytes(address)
    return address.is_loopback


def _last_four_bytes(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


class Lookup:
    """Looks names up, each in a thread of its own: one that takes long keeps none of the others waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, "webhooks' names")
        self._under_way: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    def close(self) -> None:
        """Wait for no look-up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def addresses(self, place: Place) -> list[Address]:
        """The addresses of a place, in the order in which to try them. Raises OSError.

        Who asks for a name that is being looked up gets the same answer, so each name holds one thread.
        """
        key = place.host, place.port
        found = self._under_way.get(key)
        if found is None:
            loop = asyncio.get_running_loop()
            found = asyncio.ensure_future(loop.run_in_executor(self._threads, _look_up, *key))
            self._under_way[key] = found
            found.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(found)

    def _ended(self, key: tuple[str, int], done: asyncio.Future[list[Address]]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # which may be nobody's any more


def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host} is no name of a host") from None
    addresses = [ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    if not addresses:
        raise OSError(f"{host} has no address")
    return list(dict.fromkeys(addresses))
