"""All files for browsers: the pages, packed, with what they load, and the sources as they are.

They are read and packed once in each process. A compressed form is made when somebody first asks for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from synckairos.api.delivery import encoding
from synckairos.api.delivery.minifying import minified
from synckairos.api.delivery.packing import BUILT, Packer
from synckairos.api.delivery.texts import named

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "ts": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
}

POLICY = "content-security-policy"
NOBODY_FRAMES = "frame-ancestors 'none'"

MODULES = ("synckairos.js", "synckairos.d.ts", "useSyncKairos.js", "useSyncKairos.d.ts")
"""The files of the JavaScript client, which pages of any origin may import."""

FIRST = ("/console/shared/languages.js",)
"""Modules that each page runs while it is read, beside its own."""
EVERYWHERE = ("/console/shared/install.js",)
"""Modules that each page runs beside its own."""

IN_EACH_HEAD = """\
<link rel="manifest" href="/manifest.webmanifest">
<link rel="apple-touch-icon" href="/console/shared/icon-180.png">
"""

UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page that browsers keep, so that it opens without a network.

    file: its HTML below `console/`
    paths: a regular expression for the paths that show it, in the syntax of JavaScript and Python
    at: one of these addresses, where the HTML is read from
    query: the name that has to be in the query; "" for none
    """

    file: str
    paths: str
    at: str
    query: str = ""


_ANY = "/s/00000000-0000-4000-8000-000000000000"

KEPT: tuple[KeptPage, ...] = (
    KeptPage("list/index.html", "/", "/"),
    KeptPage("session/bare.html", f"/s/{UUID}", f"{_ANY}?bare", "bare"),
    KeptPage("session/session.html", f"/s/{UUID}", _ANY),
    KeptPage("room/room.html", "/room/[^/]+", "/room/x"),
)
"""Of several pages at one path the first one counts."""


def policy(inline: str = "") -> str:
    """What a page of the console may load and ask: only its own files and service. So no token gets away.

    `'self'` is good for sockets of the same host and port. No other page may frame it, but those of
    FRAME_ANCESTORS.

    inline: the one script that stands in the page
    """
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    scripts = f"script-src 'self' 'sha256-{digest}'; " if inline else ""
    return (
        f"default-src 'self'; {scripts}connect-src 'self'; object-src 'none'; "
        f"{NOBODY_FRAMES}; base-uri 'none'; form-action 'self'"
    )


_COMPRESSING = ThreadPoolExecutor(1, "compressing")


@dataclass(slots=True)
class File:
    """A file that is ready to be sent.

    tag: a hash of the body
    """

    body: bytes
    content_type: str
    headers: Mapping[str, str]
    tag: str = field(init=False)
    _smallest: dict[str, Future[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tag = hashlib.sha256(self.body).hexdigest()[:32]

    @property
    def is_compressible(self) -> bool:
        """Whether it is sent compressed to those who can read that."""
        return len(self.body) >= encoding.LEAST and self.content_type != TYPES["png"]

    def with_headers(self, headers: Mapping[str, str]) -> File:
        """The same file with more headers. What was compressed for the one is good for the other."""
        return File(self.body, self.content_type, {**self.headers, **headers}, self._smallest)

    def encoded(self, name: str) -> bytes:
        """The body in one of the encodings.

        Whoever asks first gets what is compressed at once; meanwhile a thread makes the smallest form.
        """
        if name == encoding.IDENTITY:
            return self.body
        if name not in self._smallest:
            self._smallest[name] = _COMPRESSING.submit(encoding.ENCODERS[name], self.body)
        smallest = self._smallest[name]
        return smallest.result() if smallest.done() else encoding.QUICK[name](self.body)


@dataclass(frozen=True, slots=True)
class Site:
    """The files.

    modules: the client's, by their names
    console: the sources of the console and the packed files, by their addresses
    pages: the packed pages, by the paths of their HTML below `console/`
    worker: the service worker, without the constants that it begins with
    """

    modules: Mapping[str, File]
    console: Mapping[str, File]
    pages: Mapping[str, File]
    worker: str
    _workers: dict[str, File] = field(default_factory=dict)

    def service_worker(self, framing: str) -> File:
        """The service worker, which knows what belongs to this release.

        framing: what the answers say of frames; browsers keep that with the pages
        """
        if framing not in self._workers:
            self._workers[framing] = self._service_worker(framing)
        return self._workers[framing]

    def _service_worker(self, framing: str) -> File:
        pages = [[f"^{each.paths}$", each.query, each.at, self.pages[each.file].tag] for each in KEPT]
        texts = self._texts()
        of_one = {path for paths in texts.values() for path in paths}
        files = [path for path in self.console if path.startswith(BUILT) and path not in of_one]
        known = {"pages": pages, "files": files, "texts": list(texts.values())}
        text = json.dumps([known, framing], sort_keys=True)
        release = hashlib.sha256((text + self.worker).encode()).hexdigest()[:16]
        prelude = f"const RELEASE={json.dumps(release)},KNOWN={json.dumps(known, separators=(',', ':'))};\n"
        return File((prelude + self.worker).encode(), TYPES["js"], dict(_FRESH))

    def _texts(self) -> dict[str, list[str]]:
        """The packed texts by their language. A browser needs those of one."""
        names = [path.rpartition("/")[2].removesuffix(".js") for path in self.console if "/texts/" in path]
        return {
            name: [
                path
                for path in self.console
                if re.fullmatch(rf"{BUILT}\w+[.]texts-{name}(?:-more)?-[0-9a-f]+[.]js", path)
            ]
            for name in names
        }


_FRESH = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
"""A browser asks each time whether its copy is still good (ETag), so it gets a new release at once."""
_FOREVER = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
"""For files whose names change with their content."""
_ANYWHERE = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


def _files(folder: Traversable, prefix: str) -> dict[str, bytes]:
    """All files below a folder, by their addresses."""
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            found[prefix + entry.name] = entry.read_bytes()
    return found


def _type(address: str) -> str:
    return TYPES[address.rpartition(".")[2]]


def packed(files: Mapping[str, bytes]) -> tuple[Packer, dict[str, File]]:
    """The packer with what it built, and the pages. files: by their addresses, the client's among them."""
    texts = {
        address: body.decode()
        for address, body in files.items()
        if address.endswith((".js", ".css", ".html", ".svg"))
    }
    packer, pages = Packer(texts, named), dict[str, File]()
    for address in sorted(texts):
        if address.endswith(".html"):
            page = packer.page(address, first=FIRST, also=EVERYWHERE)
            html = page.html.replace('<link rel="stylesheet"', IN_EACH_HEAD + '<link rel="stylesheet"', 1)
            headers = {**_FRESH, POLICY: policy(page.inline), "referrer-policy": "no-referrer"}
            pages[address.removeprefix("/console/")] = File(html.encode(), TYPES["html"], headers)
    return packer, pages


def sources() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The console's files by their addresses, and the client's by their names."""
    web = resources.files("synckairos") / "web"
    return _files(web / "console", "/console/"), {name: (web / name).read_bytes() for name in MODULES}


def of(console: Mapping[str, bytes], modules: Mapping[str, bytes]) -> Site:
    """The site of these files, as `sources` gives them. Raises UnpackableError."""
    packer, pages = packed({**console, "/synckairos.js": modules["synckairos.js"]})
    ours = {POLICY: policy(), "referrer-policy": "no-referrer"}
    built = {
        address: File(body, _type(address), {**_FOREVER, **ours}) for address, body in packer.built.items()
    }
    plain = {address: File(body, _type(address), {**_FRESH, **ours}) for address, body in console.items()}
    worker = minified(console["/console/shared/sw.js"].decode())
    client = {name: File(body, _type(name), {**_FRESH, **_ANYWHERE}) for name, body in modules.items()}
    return Site(client, {**plain, **built}, pages, worker)


@cache
def site() -> Site:
    """The files of this release. Raises UnpackableError where a file is in a form that is not known."""
    return of(*sources())
