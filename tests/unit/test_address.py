"""Which address a client has: the one that the last proxy saw that is not our own, in one spelling."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from sanic.compat import Header

from synckairos.api.address import MAX_HOPS, client_address, normal

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "192.168.1.7/32", "2001:db8:ff::/48")))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[203.0.113.7]:4711", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::FFFF:cb00:7107]:443", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::ffff", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002:0000::1", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:80", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "local"),
        ("203.0.113.007", "local"),
        ("203.0.113.7:x", "local"),
        ("[::1]x", "local"),
        ("203.0.113.7.", "local"),
        ("unknown", "local"),
        ("1", "local"),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str) -> None:
    assert normal(text) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9, 198.51.100.1, 10.2.2.2, 192.168.1.7"], "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9", "198.51.100.1", "2001:db8:ff::2"], "198.51.100.1"),
        ("10.1.1.1", ["198.51.100.1:50000, [2001:db8:ff::2]:443"], "198.51.100.1"),
        ("10.1.1.1", ["2001:db8:1:2::3"], "2001:db8:1:2::/64"),
        ("10.1.1.1", ["10.9.9.9, 10.2.2.2"], "10.9.9.9"),
        ("10.1.1.1", ["198.51.100.1, any text"], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.1, any text, 10.2.2.2"], "10.2.2.2"),
        ("10.1.1.1", [""], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.1, 192.168.1.8"], "192.168.1.8"),
        ("10.1.1.1", ["198.51.100.1" + ", 10.2.2.2" * MAX_HOPS], "10.2.2.2"),
        ("", ["198.51.100.1"], "local"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxy_counts(
    peer: str, forwarded: list[str], address: str
) -> None:
    headers = Header([("x-forwarded-for", line) for line in forwarded])
    assert client_address(headers, peer, PROXIES) == address
    assert client_address(headers, peer, ()) == normal(peer)
