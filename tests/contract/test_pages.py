"""What browsers load: the console and the modules of the client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import struct
from importlib import resources
from urllib.parse import urljoin

import httpx
import pytest

from synckairos.api.delivery import encoding
from synckairos.api.delivery.packing import BUILT
from synckairos.api.delivery.site import site

SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
MODULES = ("/synckairos.js", "/synckairos.d.ts", "/useSyncKairos.js", "/useSyncKairos.d.ts")
PAGES = ("/", f"/s/{SESSION}", f"/s/{SESSION}?bare", "/room/club-night")
ENDINGS = ("js", "css", "svg", "png", "html", "webmanifest")
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
    scripts = policy.pop("script-src").split(" ")
    (inline,) = re.findall(r"<script>(.*?)</script>", reply.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert scripts == ["'self'", f"'sha256-{digest}'"], "of scripts in the page only the one that is there"
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
        if address.endswith((".js", page)):
            names += re.findall(r'"(/console/built/[^"]+)"', reply.text)
        if address.endswith(".webmanifest"):
            names += re.findall(r'"src": "([^"]+)"', reply.text)
        for name in names:
            target = urljoin(address, name)
            if target.rpartition(".")[2] in ENDINGS and target not in found:
                found.add(target)
                waiting.append(target)
    return found


async def test_every_file_that_the_pages_name_is_there_and_is_never_another(api: httpx.AsyncClient) -> None:
    named = {name for page in PAGES for name in await loaded_by(api, page)}
    assert all(name.startswith("/") for name in named), "everything comes from the same server"
    built = {name for name in named if name.startswith("/console/built/")}
    assert len(built) >= 5, "each page has a script and a style, and both the icon"
    for name in built:
        reply = await api.get(name)
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert hashlib.sha256(reply.content).hexdigest()[:12] in name
    assert "/manifest.webmanifest" in named


async def test_what_another_release_has_packed_is_answered_and_kept_by_nobody(api: httpx.AsyncClient) -> None:
    """While a release replaces another one, a page of the one asks a process of the other."""
    (name,) = re.findall(r'src="(/console/built/session-\w+[.]js)"', (await api.get(PAGES[1])).text)
    ours = await api.get(name)
    other = await api.get(re.sub(r"-\w+[.]js", "-0123456789ab.js", name))
    assert other.content == ours.content
    assert other.headers["cache-control"] == "no-store"
    assert (await api.get("/console/built/nothing-0123456789ab.js")).status_code == 404


async def test_a_packed_file_is_the_only_one_of_its_name_and_compressed_once(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a page of another release would get another page's file, and whoever asks costs much each time."""
    built = [each for each in site().console if each.startswith(BUILT)]
    stems = [re.sub(r"-[0-9a-f]{12}(?=[.]\w+$)", "", each) for each in built]
    assert len(set(stems)) == len(stems) > 100
    compressed = []

    def smallest(body: bytes) -> bytes:
        compressed.append(len(body))
        return encoding.QUICK["br"](body)

    monkeypatch.setitem(encoding.ENCODERS, "br", smallest)
    ours = next(each for each in built if "/list" not in each and each.endswith(".js") and "texts-pt" in each)
    for path in (re.sub(r"-\w+[.]js", "-0123456789ab.js", ours), "/sw.js"):
        compressed.clear()
        for _ in range(3):
            assert (await api.get(path, headers={"accept-encoding": "br"})).status_code == 200
            await asyncio.sleep(0.05)
        assert len(compressed) <= 1, path


async def test_sources_stay_where_they_were(api: httpx.AsyncClient) -> None:
    for path in ("session/session.js", "session/views/clock.js", "shared/base.css", "shared/icon.svg"):
        reply = await api.get(f"/console/{path}")
        assert reply.content == (FOLDER / "console" / path).read_bytes()
        assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0.1, gzip;q=0.5", "gzip"),
        ("br;q=0, *", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("zstd", None),
        ("", None),
    ],
)
async def test_files_come_compressed_as_the_browser_can_read_them(
    api: httpx.AsyncClient, accepted: str, sent: str | None
) -> None:
    for address in (
        PAGES[0],
        MODULES[0],
        "/console/shared/base.css",
        "/sw.js",
        "/docs",
        "/docs/docs.js",
        "/docs/docs.css",
    ):
        plain = await api.get(address, headers={"accept-encoding": "identity"})
        reply = await api.get(address, headers={"accept-encoding": accepted})
        assert reply.headers.get("content-encoding") == sent
        assert "Accept-Encoding" in reply.headers["vary"]
        assert reply.content == plain.content
        assert (reply.headers["etag"] == plain.headers["etag"]) == (sent is None)
        if sent is not None:
            assert int(reply.headers["content-length"]) < len(plain.content) * 0.6


async def test_a_picture_is_not_compressed_again(api: httpx.AsyncClient) -> None:
    reply = await api.get("/console/shared/icon-192.png", headers={"accept-encoding": "gzip"})
    assert (reply.headers["content-type"], reply.headers.get("content-encoding")) == ("image/png", None)
    assert reply.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("address", ["/nothing", "/rooms/x", "/console/none.js", "/s/x/y", "/ws/x"])
async def test_a_browser_gets_a_page_where_nothing_is(api: httpx.AsyncClient, address: str) -> None:
    accept = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    reply = await api.get(address, headers=accept)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert '<a class="button primary" href="/"' in reply.text
    assert "script-src 'self' 'sha256-" in reply.headers["content-security-policy"]
    assert reply.headers["vary"] == "Accept, Accept-Encoding"
    for headers in ({}, {"accept": "application/json"}):
        program = await api.get(address, headers=headers)
        assert (program.status_code, program.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert (await api.post(address, headers=accept)).headers["content-type"] == "application/json"


@pytest.mark.parametrize("address", ["/v1/nothing", f"/v1/sessions/{SESSION}"])
async def test_the_api_answers_a_browser_as_everybody(api: httpx.AsyncClient, address: str) -> None:
    reply = await api.get(address, headers={"accept": "text/html"})
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/json")


async def test_a_device_may_install_the_console(api: httpx.AsyncClient) -> None:
    manifest = (await api.get("/manifest.webmanifest")).json()
    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/", "/", "standalone")
    found = set()
    for icon in manifest["icons"]:
        reply = await api.get(icon["src"])
        assert reply.headers["content-type"] == icon["type"]
        if icon["type"] == "image/png":
            found.add((icon["sizes"], icon.get("purpose", "any")))
            width, height = struct.unpack(">II", reply.content[16:24])
            assert icon["sizes"] == f"{width}x{height}"
            assert len(reply.content) < 30_000
    assert found == {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable")}
    for page in PAGES:
        text = (await api.get(page)).text
        assert '<link rel="manifest" href="/manifest.webmanifest">' in text
        assert (await api.get("/console/shared/icon-180.png")).status_code == 200
        assert '<link rel="apple-touch-icon" href="/console/shared/icon-180.png">' in text


async def test_the_service_worker_knows_this_release(
    api: httpx.AsyncClient, limited: httpx.AsyncClient
) -> None:
    reply = await api.get("/sw.js")
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    release, known = re.findall(r'^const RELEASE="(\w+)",KNOWN=(\{.*\});$', reply.text, re.MULTILINE)[0]
    parts = json.loads(known)
    for paths, query, at, tag in parts["pages"]:
        assert re.fullmatch(paths, at.partition("?")[0])
        assert at.partition("?")[2] == query
        page = await api.get(at)
        assert page.status_code == 200
        assert tag in page.headers["etag"]
    for file in (*parts["files"], *(path for paths in parts["texts"] for path in paths)):
        assert (await api.get(file)).headers["cache-control"].endswith("immutable")
    other = re.findall(r'^const RELEASE="(\w+)"', (await limited.get("/sw.js")).text)
    assert other != [release], "pages that other origins may frame are kept with another policy"


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
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
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
        as_it_is = {"accept-encoding": "identity"}
        whole = await api.get(address, headers=as_it_is)
        head = await api.head(address, headers=as_it_is)
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
    found = await api.get(f"/s/{end}")
    assert found.content == page.content
    assert found.status_code == (200 if end == SESSION.upper() else 404)
