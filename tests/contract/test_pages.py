"""What browsers load: the console and the modules of the client."""

from __future__ import annotations

import re
from importlib import resources
from urllib.parse import urljoin

import httpx
import pytest

SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
MODULES = ("/synckairos.js", "/synckairos.d.ts", "/useSyncKairos.js", "/useSyncKairos.d.ts")
PAGES = ("/", f"/s/{SESSION}", f"/s/{SESSION}?bare", "/room/club-night")
FOLDER = resources.files("synckairos") / "web"


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_loads_and_asks_nothing_elsewhere_and_cannot_be_framed(
    api: httpx.AsyncClient, page: str
) -> None:
    reply = await api.get(page)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        directive.strip().split(" ", 1) for directive in reply.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == "'self'", "also sockets go nowhere else"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert set(policy.values()) <= {"'self'", "'none'"}
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_only_pages_of_listed_origins_may_frame_a_page(limited: httpx.AsyncClient) -> None:
    for page in PAGES:
        first = await limited.get(page)
        again = await limited.get(page, headers={"if-none-match": first.headers["etag"]})
        for reply, status in ((first, 200), (again, 304)):
            assert reply.status_code == status
            policy = reply.headers["content-security-policy"].split("; ")
            assert "frame-ancestors https://lms.example.org https://*.school.example:8443" in policy


async def test_a_page_may_ask_what_its_token_allows(api: httpx.AsyncClient) -> None:
    reply = await api.get("/console/access")
    allowed = reply.json()["data"]
    assert (allowed["auth_mode"], allowed["player"]) == ("none", None)
    assert {"create", "switch", "adjust"} <= set(allowed["may"])
    assert reply.headers["cache-control"] == "no-store"


async def loaded_by(api: httpx.AsyncClient, page: str) -> set[str]:
    """The page and all files that it names, and those that they name."""
    found, waiting = {page}, [page]
    while waiting:
        address = waiting.pop()
        reply = await api.get(address)
        assert reply.status_code == 200, address
        names = re.findall(r'(?:src|href)="([^"#]+)"', reply.text) if address == page else []
        names += re.findall(r'(?:from|import)\s*\(?\s*"([./][^"]+)"', reply.text)
        names += re.findall(r'@import\s+(?:url\()?"([^"]+)"', reply.text)
        for name in names:
            target = urljoin(address, name)
            if target.rpartition(".")[2] in ("js", "css", "svg", "html") and target not in found:
                found.add(target)
                waiting.append(target)
    return found


async def test_every_file_that_the_pages_name_is_there_and_every_file_is_named(
    api: httpx.AsyncClient,
) -> None:
    named = await loaded_by(api, PAGES[0]) | await loaded_by(api, PAGES[1])
    console = FOLDER / "console"
    folders, files = [("/console/", console)], set()
    for prefix, folder in folders:
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append((f"{prefix}{entry.name}/", entry))
            elif not entry.name.endswith(".html"):
                files.add(prefix + entry.name)
    assert files - named == set()
    assert all(name.startswith("/") for name in named), "everything comes from the same server"


@pytest.mark.parametrize("module", MODULES)
async def test_any_page_may_import_the_client(api: httpx.AsyncClient, module: str) -> None:
    reply = await api.get(module, headers={"Origin": "https://game.example"})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    kind = "text/javascript" if module.endswith(".js") else "text/plain"
    assert reply.headers["content-type"] == f"{kind}; charset=utf-8"
    assert reply.content == (FOLDER / module[1:]).read_bytes()


@pytest.mark.parametrize("address", [*PAGES, MODULES[0], "/favicon.ico"])
async def test_a_copy_that_is_still_good_is_not_sent_again(api: httpx.AsyncClient, address: str) -> None:
    first = await api.get(address)
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for given in (tag, f'"other", W/{tag}', "*"):
        again = await api.get(address, headers={"If-None-Match": given})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == tag
    other = await api.get(address, headers={"If-None-Match": '"other"'})
    assert other.content == first.content


@pytest.mark.parametrize(
    "address",
    [
        "/console/none.js",
        "/console/../pages.py",
        "/console/%2e%2e/x.js",
        "/console/a/b.js",
        "/console/a/b/c.js",
        "/console/list/none.js",
        "/other.js",
    ],
)
async def test_what_is_not_there_is_said_as_everywhere(api: httpx.AsyncClient, address: str) -> None:
    reply = await api.get(address)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "NOT_FOUND"


async def test_pages_are_read_only(api: httpx.AsyncClient) -> None:
    reply = await api.post("/", json={})
    assert reply.status_code == 405
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_no_address_is_sent_here_to_become_a_qr_code(api: httpx.AsyncClient) -> None:
    """The page draws it, because an address may have a token behind its #."""
    reply = await api.get("/qr.svg", params={"url": f"{api.base_url}/s/{SESSION}#token=secret"})
    assert reply.status_code == 404


async def test_a_page_is_told_about_without_being_sent(api: httpx.AsyncClient) -> None:
    for address in (*PAGES, MODULES[0]):
        whole = await api.get(address)
        head = await api.head(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == whole.headers["etag"]
        assert head.headers["content-length"] == str(len(whole.content))
        allowed = await api.options(address)
        assert set(allowed.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("end", ["%", "%E0%A4%A", "a%2Fb", "%00", "x" * 2000, SESSION.upper()])
async def test_the_session_page_is_there_whatever_its_address_ends_with(
    api: httpx.AsyncClient, end: str
) -> None:
    """The page says what is wrong with the link, in words; an answer of the API would not."""
    page = await api.get(PAGES[1])
    assert (await api.get(f"/s/{end}")).content == page.content
