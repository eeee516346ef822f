"""ARCHITECTURE.md: its table of layers says who imports whom, and every place that it names is there."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.pages import ROOT, Page, codes

PAGE = Page(ROOT / "ARCHITECTURE.md")
ALLOWED = {
    codes(row["package"])[0]: set(codes(row["may import"])) for row in PAGE.section("Layers").tables[0].rows
}
PACKAGE = ROOT / "synckairos"
TOP = "synckairos"


def unit(module: str) -> str:
    """The package or top module that a module belongs to."""
    names = module.split(".")
    return names[1] if len(names) > 1 else TOP


def files() -> dict[str, Path]:
    """Each module by its full name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        names = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


FILES = files()


def imported(path: Path) -> Iterator[str]:
    """The modules of this project that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in {path}"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else str(node.module) for name in below]
        yield from (name for name in names if name in FILES)


def test_every_package_has_a_row() -> None:
    assert {unit(module) for module in FILES} == set(ALLOWED)


def test_imports_are_those_of_the_table() -> None:
    found: dict[str, set[str]] = {package: set() for package in ALLOWED}
    for module, path in FILES.items():
        found[unit(module)] |= {unit(name) for name in imported(path)} - {unit(module)}
    wrong = {package: names - ALLOWED[package] for package, names in found.items()}
    assert not {package: names for package, names in wrong.items() if names}, "not allowed by the table"
    idle = {package: ALLOWED[package] - names for package, names in found.items()}
    assert not {package: names for package, names in idle.items() if names}, "allowed, and not imported"


def test_imports_go_one_way() -> None:
    list(graphlib.TopologicalSorter(ALLOWED).static_order())  # a circle raises CycleError


def test_the_places_are_there() -> None:
    rows = [
        *PAGE.section("Where things live").tables[0].rows,
        *PAGE.section("Where a rule stands").tables[0].rows,
    ]
    places = [place for row in rows for place in codes(row.get("files", row["place"]))]
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []
