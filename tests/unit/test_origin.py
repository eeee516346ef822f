"""Which pages may use a service that asks nobody for a token: its own, and those that are listed."""

from __future__ import annotations

import pytest
from sanic.compat import Header

from synckairos.api import origin
from synckairos.config import Settings
from synckairos.errors import Forbidden, ValidationError

HOST = "games.example:8080"


@pytest.mark.parametrize(
    ("host", "page", "listed"),
    [
        (HOST, None, ()),
        (HOST, "http://games.example:8080", ()),
        (HOST, "https://games.example:8080", ()),
        (HOST.upper(), "http://games.example:8080", ()),
        ("games.example", "http://games.example", ()),
        ("games.example", "https://games.example", ()),
        ("games.example:443", "https://games.example", ()),
        ("[::1]:80", "http://[::1]", ()),
        (HOST, "https://play.example", ("https://play.example",)),
        (HOST, "null", ("null",)),
        (HOST, "null", ("*",)),
        (HOST, "https://anything.example", ("*",)),
    ],
)
def test_pages_that_are_welcome(host: str, page: str | None, listed: tuple[str, ...]) -> None:
    headers = Header({"host": host, **({} if page is None else {"origin": page})})
    origin.check_origin(headers, Settings(allowed_origins=listed))
    if listed:
        headers["sec-fetch-site"] = "cross-site"
        origin.check_origin(headers, Settings(allowed_origins=listed))


@pytest.mark.parametrize(
    ("host", "page", "listed"),
    [
        (HOST, "null", ()),
        (HOST, "null", ("https://play.example",)),
        (HOST, "https://elsewhere.example", ()),
        (HOST, "https://play.example.elsewhere.example", ("https://play.example",)),
        (HOST, "http://play.example", ("https://play.example",)),
        (HOST, "http://games.example", ()),
        (HOST, "http://games.example:8081", ()),
        (HOST, "http://games.example:8080.elsewhere.example", ()),
        (HOST, "http://elsewhere.example/games.example:8080", ()),
        (HOST, "http://games.example:99999", ()),
        (HOST, "ftp://games.example:8080", ()),
        (HOST, "chrome-extension://games.example:8080", ()),
        (HOST, "http://", ()),
        (HOST, "", ()),
        ("games.example:80", "https://games.example", ()),
        ("localhost:8080", "http://localhost:3000", ()),
    ],
)
def test_foreign_pages_are_told_which_setting_lists_them(
    host: str, page: str, listed: tuple[str, ...]
) -> None:
    with pytest.raises(Forbidden, match="ALLOWED_ORIGINS") as refused:
        origin.check_origin(Header({"host": host, "origin": page}), Settings(allowed_origins=listed))
    assert page in refused.value.message


@pytest.mark.parametrize("page", [None, "http://games.example:8080"])
def test_a_page_of_another_site_is_foreign_whatever_its_origin_says(page: str | None) -> None:
    headers = Header({"host": HOST, "sec-fetch-site": "cross-site"})
    if page is not None:
        headers["origin"] = page
    with pytest.raises(Forbidden):
        origin.check_origin(headers, Settings())
    for site in ("same-origin", "none"):
        headers["sec-fetch-site"] = site
        origin.check_origin(headers, Settings())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "192.0.2.7",
        "[::1]",
        "[2001:db8::1]:8080",
        "localhost",
        "LocalHost:1",
        "localhost.",
        "here.example:80",
        "Games.Example",
        "other_name",
    ],
)
def test_hosts_that_are_the_service_s(host: str) -> None:
    settings = Settings(host="here.example", allowed_hosts=("games.example", "other_name"))
    origin.check_host(Header({"host": host}), settings)


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example",
        "rebound.example:8080",
        "x",
        "localhost.rebound.example",
        "127.0.0.1.rebound.example",
        "games.example.rebound.example",
        "sub.games.example",
        "0x7f.1",
        "2130706433",
        "[::1].rebound.example",
        "",
    ],
)
def test_a_rebound_host_is_refused_with_what_it_may_be(host: str) -> None:
    with pytest.raises(ValidationError, match="ALLOWED_HOSTS") as refused:
        origin.check_host(Header({"host": host}), Settings(allowed_hosts=("games.example",)))
    assert [detail["field"] for detail in refused.value.details] == ["Host"]
