"""Reads a runbook, runs its blocks, and says which cause it names.

deploy/runbooks/README.md tells operators how to use a page; this does the same. In the tables and in the text
below a block, `…` stands for anything on the line, and two spaces or more for any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.pages import ROOT, Block, Page, Shell, codes

FOLDER = ROOT / "deploy" / "runbooks"
TELL, DO, OVER = "Tell which cause it is", "Do now", "See that it is over"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table below the blocks that tell the cause.

    says: what the output has when this is the cause
    link: to what is to be done: a part of the same page, or another page
    """

    cause: str
    says: str
    link: str

    def fits(self, output: str) -> bool:
        """Whether a line of the output has it."""
        return has(output, self.says)


class Runbook:
    """A page of deploy/runbooks."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.page = Page(path)
        (table,) = self.page.section(TELL).tables
        self.rows = [self._row(row["the output has"], row["cause"]) for row in table.rows]

    @staticmethod
    def _row(says: str, cause: str) -> Row:
        (pattern,) = codes(says)
        name, link = re.fullmatch(r"\[(.+)\]\((.+)\)", cause).groups()  # type: ignore[union-attr]
        return Row(name, pattern, link)

    def tell(self, shell: Shell) -> tuple[str | None, str]:
        """Runs what tells the cause. Returns the first cause that fits, and the output."""
        output = "".join(run(shell, block) for block in self._blocks(TELL))
        return next((row.cause for row in self.rows if row.fits(output)), None), output

    def mend(self, shell: Shell, cause: str) -> str:
        """Runs what is to be done about every cause, and about this one. Each block has to succeed."""
        blocks = self._blocks(DO)
        (link,) = (row.link for row in self.rows if row.cause == cause)
        if link.startswith("#"):
            blocks += self._blocks(self._title(link[1:]))
        return "".join(run(shell, block, succeeds=True) for block in blocks)

    def is_over(self, shell: Shell) -> tuple[bool, str]:
        """Runs what shows that it is over. Returns whether the output has all that the page shows, and it."""
        blocks = self.page.section(OVER).blocks
        output = "".join(run(shell, block) for block in blocks if block.language == "sh")
        (shown,) = (block.text for block in blocks if block.language == "text")
        return all(has(output, line) for line in shown.splitlines()), output

    def blocks_run(self) -> list[Block]:
        """All blocks that can be run by the methods above."""
        links = {row.link for row in self.rows if row.link.startswith("#")}
        titles = {TELL, DO, OVER, *(self._title(link[1:]) for link in links)}
        return [block for title in titles for block in self._blocks(title)]

    def _title(self, anchor: str) -> str:
        return next(
            section.title
            for section in self.page.sections
            if re.sub(r"[^\w -]", "", section.title).strip().lower().replace(" ", "-") == anchor
        )

    def _blocks(self, title: str) -> list[Block]:
        return [block for block in self.page.section(title).blocks if block.language == "sh"]


def has(output: str, pattern: str) -> bool:
    """Whether a line of the output has it."""
    parts = re.split(r"\s*…\s*|\s{2,}", pattern)
    gaps = re.findall(r"\s*…\s*|\s{2,}", pattern)
    expression = re.escape(parts[0]) + "".join(
        (r".*" if "…" in gap else r"\s+") + re.escape(part) for gap, part in zip(gaps, parts[1:], strict=True)
    )
    return re.search(expression, output) is not None


def run(shell: Shell, block: Block, *, succeeds: bool = False) -> str:
    """Runs a block as an operator pastes it. Returns its output, with errors.

    succeeds: whether each command of it has to
    """
    strict = "-eu" if succeeds else "-u"  # the doctor's exit code is 1 when something is wrong
    output = shell.run(f"(\nset {strict}\n{block.text}\n)\nprintf '\\nexit %s\\n' $?")
    text, _, code = output.rstrip().rpartition("\nexit ")
    assert not succeeds or code == "0", f"line {block.line}: {block.text}\nended with {code}:\n{text}"
    return text + "\n"


def export(shell: Shell, variables: Mapping[str, str]) -> None:
    """Sets variables as an operator does who has read the output."""
    for name, value in variables.items():
        quoted = value.replace("'", "'\\''")
        shell.run(f"export {name}='{quoted}'")


def pages() -> list[Runbook]:
    """All runbooks."""
    return [Runbook(path) for path in sorted(FOLDER.glob("*.md")) if path.name != "README.md"]
