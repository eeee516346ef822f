"""The library as one payload: what is in it, and how changed Lua without a new version is noticed."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from synckairos.core import library
from synckairos.core.library import Library, SourceChanged

TIME = "storage/time.lua"
VIRTUAL = {
    TIME: "storage/time_virtual.lua",
    "storage/server.lua": "storage/server_virtual.lua",
}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the Lua to be changed, its checksum recorded."""
    folder = tmp_path / "lua"
    shutil.copytree(library._folder(), folder)
    (folder / "CHECKSUM").unlink(missing_ok=True)
    monkeypatch.setattr(library, "_folder", lambda: folder)
    library._assemble.cache_clear()
    library.check_source(record=True)
    return folder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    library._assemble.cache_clear()
    yield
    library._assemble.cache_clear()  # other tests are to have the real one again


def check() -> None:
    library._assemble.cache_clear()
    library.check_source()


def record() -> None:
    library._assemble.cache_clear()
    library.check_source(record=True)


def test_the_payload_names_the_library_and_its_version() -> None:
    own = Library.assemble()
    first, second, *_ = own.payload.splitlines()
    assert first == "#!lua name=synckairos"
    assert second == f'local VERSION = "{own.version}"'
    assert re.fullmatch(r"\d+\.\d+\.\d+", own.version)


def test_every_module_is_in_it_once_and_in_order() -> None:
    modules = library._modules(library._folder())
    names = [module.removesuffix(".lua").replace("/", "_") for module in modules]
    assert re.findall(r"^local (\w+) = \(function\(\)$", Library.assemble().payload, re.MULTILINE) == names
    files = {str(file.relative_to(library._folder())) for file in library._folder().rglob("*.lua")}
    assert files == {*modules, *VIRTUAL.values()}


def test_virtual_time_exchanges_two_modules_and_nothing_else() -> None:
    real, virtual = (Library.assemble(virtual_time=flag).payload for flag in (False, True))
    folder = library._folder()
    for module, exchanged in VIRTUAL.items():
        name = module.removesuffix(".lua").replace("/", "_")
        ours, theirs = (
            f"-- {file}\nlocal {name} = (function()\n{(folder / file).read_text().rstrip()}\nend)()\n"
            for file in (module, exchanged)
        )
        assert ours in real
        real = real.replace(ours, theirs)
    assert real == virtual


def test_the_production_library_cannot_read_virtual_time() -> None:
    assert "{vt}" not in Library.assemble().payload


def test_unchanged_lua_passes(source: Path) -> None:
    check()


def test_changed_lua_needs_a_new_version(source: Path) -> None:
    (source / TIME).write_text((source / TIME).read_text().replace("1000", "1001"))
    with pytest.raises(SourceChanged, match="new version"):
        check()
    with pytest.raises(SourceChanged, match="new version"):
        record()
    (source / "VERSION").write_text("99.0.0\n")
    with pytest.raises(SourceChanged, match="record"):
        check()
    record()
    check()


def test_a_new_version_has_to_be_recorded(source: Path) -> None:
    (source / "VERSION").write_text("99.0.0\n")
    with pytest.raises(SourceChanged, match="record"):
        check()


def test_comments_may_change(source: Path) -> None:
    (source / TIME).write_text("-- a better comment\n\n" + (source / TIME).read_text())
    check()


def test_a_version_is_three_numbers(source: Path) -> None:
    (source / "VERSION").write_text("1.0\n")
    with pytest.raises(ValueError, match="VERSION"):
        check()
