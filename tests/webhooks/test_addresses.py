"""Where a webhook may lead: every kind of address that is somebody's own network, in every spelling."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_address
from typing import Any

import pytest

from synckairos.webhooks import addresses
from synckairos.webhooks.addresses import Forbidden, Lookup, is_public, judge, place_of

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "64:ff9b::808:808",
]
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *("192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "100::1", "2001:db8::1"),
    *("::ffff:10.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1", "::8.8.8.8", "2002:a00:1::1", "2002:808:808::1"),
    *("64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "2001::1", "2001:0:53aa:64c::1", "3fff::1"),
    *("2606:4700::5efe:a00:1", "2606:4700::200:5efe:a00:1", "5f00::1", "4000::1"),
]


def names_lead_to(patch: pytest.MonkeyPatch, *found: str) -> None:
    """Whatever name is looked up leads to these addresses."""

    def look_up(_host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port)) for each in found
        ]

    patch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address: str) -> None:
    assert is_public(ip_address(address))
    judge(place_of("https://name.example/"), [ip_address(address)], development=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(Forbidden):
        judge(
            place_of("https://name.example/"), [ip_address("8.8.8.8"), ip_address(address)], development=False
        )


def test_all_addresses_of_a_name_are_judged() -> None:
    """Also in development, where this machine is allowed, but not mixed with others."""
    mixed = [ip_address("8.8.8.8"), ip_address("127.0.0.1")]
    for development in (True, False):
        with pytest.raises(Forbidden):
            judge(place_of("https://name.example/"), mixed, development=development)


def test_this_machine_is_allowed_in_development_alone() -> None:
    here = [ip_address("127.0.0.1"), ip_address("::1")]
    for url in ("http://localhost:8000/", "https://localhost:8000/"):
        judge(place_of(url), here, development=True)
        with pytest.raises(Forbidden):
            judge(place_of(url), here, development=False)
    for address in ("8.8.8.8", "10.0.0.1"):
        with pytest.raises(Forbidden):
            judge(place_of("http://name.example/"), [ip_address(address)], development=True)


@pytest.mark.parametrize(
    "url",
    [
        *("", "games.example", "//games.example", "ftp://games.example/", "file:///etc/passwd", "https://"),
        *(
            "https:///hook",
            "https://user@games.example/",
            "https://user:word@games.example/",
            "https://@x.example/",
        ),
        *(
            "https://games.example:0/",
            "https://games.example:99999/",
            "https://games.example:x/",
            "https://[::1/",
        ),
        *(
            "https://games.example/#part",
            "https://games.example/\\",
            "https://games.example/ x",
            "https://b\u00fccher.example/",
        ),
        *(
            "https://games.example/\nx",
            "https://games%2eexample/",
            "gopher://127.0.0.1/",
            "https://" + "x" * 2048,
        ),
    ],
)
def test_what_is_no_address_of_a_webhook(url: str) -> None:
    with pytest.raises(Forbidden):
        place_of(url)


def test_the_parts_of_an_address() -> None:
    place = place_of("https://Games.example./hooks/a?b=c&d")
    assert (place.host, place.port, place.target) == ("games.example", 443, "/hooks/a?b=c&d")
    assert place.authority == "games.example"
    place = place_of("https://[2606:4700::1]:8443")
    assert (place.host, place.target, place.authority) == ("2606:4700::1", "/", "[2606:4700::1]:8443")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001", "localhost", "[::1]"])
async def test_spellings_of_this_machine_are_this_machine(host: str) -> None:
    lookup = Lookup()
    place = place_of(f"https://{host}/")
    try:
        with pytest.raises(Forbidden):
            judge(place, await lookup.addresses(place), development=False)
    finally:
        lookup.close()


async def test_a_name_that_takes_long_to_look_up_holds_one_thread_and_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, asked = threading.Event(), []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if host == "slow.example":
            go_on.wait(10)
        return [(socket.AF_INET, 1, 6, "", ("8.8.8.8", port))]

    monkeypatch.setattr(addresses, "LOOKUPS", 2)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    lookup = Lookup()
    slow = [asyncio.create_task(lookup.addresses(place_of("https://slow.example/"))) for _ in range(5)]
    try:
        while not asked:
            await asyncio.sleep(0.01)
        assert await lookup.addresses(place_of("https://quick.example/")) == [ip_address("8.8.8.8")]
        assert sorted(asked) == ["quick.example", "slow.example"]
        slow[0].cancel()  # who gives up takes nothing from the others
        go_on.set()
        assert await asyncio.gather(*slow[1:]) == [[ip_address("8.8.8.8")]] * 4
    finally:
        go_on.set()
        lookup.close()
