"""Pages of the documentation, for tests: their fenced blocks, tables, and examples that are run in a shell.

The output of an example is compared with the `text` block after it. In that block `…` stands for anything on
the line, a time (milliseconds since 1970, or ISO 8601) for any time, and a line that begins with two spaces
continues the line before it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]

_VARIES = re.compile(r"…|(?<!\d)1\d{12}(?!\d)|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_DONE = "<<end of the example>>"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text and the line where it begins."""

    language: str
    text: str
    line: int


@dataclass(slots=True)
class Table:
    """A table.

    heads: the names of its columns
    rows: each row as cells by the name of their column
    blocks: the blocks above it in its section
    """

    heads: list[str]
    rows: list[dict[str, str]]
    blocks: list[Block]


@dataclass(slots=True)
class Section:
    """The part of a page from one heading to the next."""

    title: str
    blocks: list[Block] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


class Page:
    """A page in Markdown."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.sections = list(_sections(self.text.splitlines()))

    @property
    def blocks(self) -> list[Block]:
        """All blocks, in order."""
        return [block for section in self.sections for block in section.blocks]

    def section(self, title: str) -> Section:
        """The section with this heading."""
        return next(section for section in self.sections if section.title == title)

    def anchors(self) -> set[str]:
        """The targets that links within the page may have."""
        return {
            re.sub(r"[^\w -]", "", section.title).strip().lower().replace(" ", "-")
            for section in self.sections
        }

    def links(self) -> set[str]:
        """The targets of the page's links to itself."""
        return set(re.findall(r"\]\(#([^)]+)\)", self.text))

    def examples(self, title: str | None = None) -> Iterator[tuple[Block, str]]:
        """Each `sh` block, of one section or of all, with its output according to the page."""
        found = self.blocks if title is None else self.section(title).blocks
        for position, block in enumerate(found):
            if block.language == "sh":
                after = found[position + 1] if position + 1 < len(found) else None
                yield block, after.text if after is not None and after.language == "text" else ""


def _sections(lines: list[str]) -> Iterator[Section]:
    section = Section("")
    position = 0
    while position < len(lines):
        line = lines[position]
        if line.startswith("#"):
            yield section
            section = Section(line.lstrip("#").strip())
        elif line.startswith("```"):
            end = lines.index("```", position + 1)
            section.blocks.append(Block(line[3:], "\n".join(lines[position + 1 : end]), position + 1))
            position = end
        elif line.startswith("|"):
            end = next((at for at in range(position, len(lines)) if lines[at][:1] != "|"), len(lines))
            heads, _, *rows = (_cells(row) for row in lines[position:end])
            cells = [dict(zip(heads, row, strict=True)) for row in rows]
            section.tables.append(Table(heads, cells, list(section.blocks)))
            position = end - 1
        position += 1
    yield section


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def codes(cell: str) -> list[str]:
    """The texts that a cell has in code font."""
    return re.findall(r"`([^`]+)`", cell)


def matches(shown: str, printed: str) -> bool:
    """Whether an example printed what the page shows. Empty lines are ignored."""
    shown = shown.strip().replace("\n  ", "")
    pattern, at = "", 0
    for varies in _VARIES.finditer(shown):
        pattern += re.escape(shown[at : varies.start()])
        pattern += ".*" if varies[0] == "…" else r"\d{13}" if varies[0].isdecimal() else r"[\d:T.-]{23}Z"
        at = varies.end()
    pattern += re.escape(shown[at:])
    return re.fullmatch(pattern, "\n".join(line for line in printed.splitlines() if line)) is not None


class Shell:
    """A POSIX shell in which the examples of a page run one after another."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, real: bool = True) -> None:
        """Start the shell.

        folder: its working directory
        real: whether to use the machine's redis-cli and curl, where they are installed
        """
        programs = folder / "bin"
        programs.mkdir()
        own = {"synckairos": "-m synckairos", "websockets": "-m websockets"}
        for name in ("redis-cli", "curl"):
            if not real or shutil.which(name) is None:
                own[name] = f"{ROOT / 'tests' / 'support' / 'stand_ins.py'} {name}"
        for name, arguments in own.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P {arguments} "$@"\n')
            program.chmod(0o755)
        self.environ = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            **environ,
        }
        self.folder = folder
        self._process = subprocess.Popen(
            ["sh"],
            cwd=folder,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, example: str) -> str:
        """Run an example. Returns its output, with errors."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{example}\nprintf '\\n%s\\n' '{_DONE}'\n")
        stdin.flush()
        lines: list[str] = []
        for line in stdout:
            if line.rstrip("\n") == _DONE:
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended in:\n{example}\n{''.join(lines)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            process.terminate()
