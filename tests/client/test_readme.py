"""The programs at the top of the client's page do what the page says."""

from __future__ import annotations

import asyncio
import re
import sys
from inspect import signature
from pathlib import Path

import pytest

import synckairos.client
from synckairos.client import ClockFace, Handle, Session, SyncKairos, blocking, errors
from tests.support.live import PATIENCE_S, Service

PAGE = Path(synckairos.client.__file__).with_name("README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("program", PROGRAMS, ids=["blocking", "asyncio"])
async def test_programs_follow_a_game_to_its_end(program: str, live: Service) -> None:
    program = program.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{live.port}")
    assert '"3+2"' in program
    # Nobody has three minutes: the clock of who begins runs out after 1.2 s.
    program = program.replace('"3+2"', '"0.02"')
    python = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, complaints = await asyncio.wait_for(python.communicate(), 3 * PATIENCE_S)
    assert complaints.decode() == ""
    lines = told.decode().splitlines()
    assert lines[0].startswith("session.started [")
    assert lines[-1].endswith("[0, 1200]")


def test_the_first_one_has_ten_lines() -> None:
    body = PROGRAMS[0].partition("\n\n")[2]
    assert len(body.splitlines()) <= 10


@pytest.mark.parametrize(
    "kind",
    [SyncKairos, Session, Handle, blocking.SyncKairos, blocking.Session, blocking.Handle],
)
def test_the_page_names_all_that_is_public(kind: type) -> None:
    for name in dir(kind):
        if not name.startswith("_") and name not in INTERNAL:
            assert re.search(rf"`[^`]*\b{name}\b[^`]*`", PAGE), name


INTERNAL = {"ping", "report_clock", "report", "wake"}
"""What the parts of the client have for each other."""


@pytest.mark.parametrize(
    ("kind", "without_asyncio"),
    [(SyncKairos, blocking.SyncKairos), (Session, blocking.Session), (Handle, blocking.Handle)],
)
def test_without_asyncio_there_is_all_of_it_with_the_same_parameters(
    kind: type, without_asyncio: type
) -> None:
    for name in {each for each in dir(kind) if not each.startswith("_")} - INTERNAL:
        one, other = getattr(kind, name), getattr(without_asyncio, name)
        if callable(one) and name not in {"changes", "ready"}:  # these two also have a timeout there
            assert list(signature(one).parameters) == list(signature(other).parameters), name


def test_the_page_names_every_error_and_every_field_of_a_face() -> None:
    for name in errors.__all__:
        assert name == "Detail" or f"`{name}`" in PAGE, name
    for name in ClockFace.__struct_fields__:
        assert f"`{name}`" in PAGE, name
