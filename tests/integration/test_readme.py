"""The tours in README.md and in the API's page work as they stand; deploy/README.md has all settings."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from synckairos.config import Settings
from tests.support.pages import ROOT, Page, Shell, codes, matches
from tests.support.programs import Program

PAGE = Page(ROOT / "README.md")
API_PAGE = Page(ROOT / "synckairos" / "api" / "README.md")
PATIENCE_S = 20.0
PYTHON = shlex.join([sys.executable, "-P"])
ESCAPES = re.compile(r"\x1b(\[[A-Z]|[0-9])|\r")
"""What the WebSocket client moves the cursor with."""


def test_the_tour(tmp_path: Path) -> None:
    """Every example in its order, on free ports; what the watcher prints comes in blocks of its own.

    Its page is opened in tests/recipes/test_pages.py.
    """
    with Program("dev", "--ephemeral", "--port", "0") as program:
        http_url, redis_url = program.ready()
        ports = {"8080": str(urlsplit(http_url).port), "6379": str(urlsplit(redis_url).port)}
        with Shell(tmp_path, {}) as shell:
            _tour(shell, ports)
        assert program.end() == 0


def _tour(shell: Shell, ports: dict[str, str]) -> None:
    def here(text: str) -> str:
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: ports[port[0]], text)

    titles = [section.title for section in PAGE.sections]
    tour = PAGE.sections[titles.index("A tour in five minutes") : titles.index("Clients")]
    tour.append(API_PAGE.section("A session with curl"))
    blocks = [block for section in tour for block in section.blocks if block.language != "html"]
    watchers = (here(block.text) for block in blocks if ".venv/bin/websockets" in block.text)
    with _watching(shell, next(watchers)) as watcher:
        printed = ""
        for block in blocks:
            text = here(block.text)
            if ".venv/bin/websockets" in text:
                watcher.start()
            elif block.language in ("sh", "python"):
                assert matches("", printed), f"the page does not show:\n{printed}"
                printed = shell.run(text if block.language == "sh" else f"{PYTHON} - <<'END'\n{text}\nEND")
            elif text.startswith(("Connected", "< ")):
                watcher.shows(text)
            else:
                assert matches(text, printed), f"line {block.line} of the page, but printed was:\n{printed}"
                printed = ""
        assert matches("", printed), f"the page does not show:\n{printed}"


class Watcher:
    """The terminal in which somebody watches."""

    def __init__(self, shell: Shell, command: str) -> None:
        self._shell, self._command = shell, command
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Runs the command, with a terminal that stays open."""
        self._process = subprocess.Popen(
            ["sh", "-c", "exec " + self._command.replace(".venv/bin/", "")],
            cwd=self._shell.folder,
            env=self._shell.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader.start()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if text := ESCAPES.sub("", line).removeprefix("> ").strip():
                self._lines.append(text)

    def shows(self, text: str) -> None:
        """Waits until the next lines that it prints are there, and compares them."""
        count = len(text.replace("\n  ", "").splitlines())
        end = time.monotonic() + PATIENCE_S
        while len(self._lines) < count and time.monotonic() < end:
            time.sleep(0.02)
        printed, self._lines[:count] = "\n".join(self._lines[:count]), []
        assert matches(text, printed), f"the page shows\n{text}\nbut the watcher printed\n{printed}"

    def end(self) -> None:
        """Closes the terminal."""
        if self._process is not None:
            self._process.kill()
            self._reader.join()
            with self._process:
                pass


@contextmanager
def _watching(shell: Shell, command: str) -> Iterator[Watcher]:
    watcher = Watcher(shell, command)
    try:
        yield watcher
    finally:
        watcher.end()


def test_the_settings() -> None:
    """Each is in the table, with its default."""
    rows = Page(ROOT / "deploy" / "README.md").section("Settings").tables[0].rows
    shown = [(codes(row["setting"])[0].lower(), "".join(codes(row["default"]))) for row in rows]
    assert sorted(shown) == sorted(
        (field.name, _shown(field.default)) for field in dataclasses.fields(Settings)
    )


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    return str(default).lower()
