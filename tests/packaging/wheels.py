"""The wheel of SyncKairos, and wheels of the packages that it needs: made from those installed here, offline.

So a fresh environment gets what pip finds for the wheel's own requirements, in the versions that the other
tests run with, and asks no index.
"""

from __future__ import annotations

import email
import importlib.metadata
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

_LEFT_OUT = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}
"""What pip writes itself when it installs a wheel."""


def build(kind: str, source: Path, folder: Path) -> Path:
    """A wheel or an sdist of the source, as hatchling makes it for an index."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def _required_by(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(wheel: Path, extra: str = "") -> set[str]:
    """The names of all packages that a wheel needs with an extra, and of those that they need."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [("synckairos", extra)]
    while waiting:
        name, asked = waiting.pop()
        if (name, asked) in seen:
            continue
        seen.add((name, asked))
        own = name == "synckairos"
        if not own:
            found.add(name)
        lines = _required_by(wheel) if own else importlib.metadata.requires(name) or []
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": asked}):
                waiting += [(_normal(requirement.name), each) for each in ("", *requirement.extras)]
    return found


def pack(name: str, folder: Path) -> None:
    """A wheel of a package that is installed here."""
    package = importlib.metadata.distribution(name)
    tags = [
        tag.split("-")
        for tag in email.message_from_string(package.read_text("WHEEL") or "").get_all("Tag", [])
    ]
    tag = "-".join(".".join(sorted({each[place] for each in tags})) for place in range(3))
    file = f"{_normal(package.name).replace('-', '_')}-{package.version}-{tag}.whl"
    record = []
    with zipfile.ZipFile(folder / file, "w") as archive:
        for path in package.files or []:
            if (
                path.parts[0] == ".."
                or path.suffix == ".pyc"
                or (path.name in _LEFT_OUT and ".dist-info" in path.parts[0])
            ):
                continue
            archive.write(str(path.locate()), path.as_posix())
            record.append(f"{path.as_posix()},,")
            if path.name == "METADATA" and ".dist-info" in path.parts[0]:
                own = path.parts[0]
        archive.writestr(f"{own}/RECORD", "\n".join([*record, f"{own}/RECORD,,", ""]))


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with nothing in it but what was installed."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Environment:
        venv.create(folder, symlinks=True)
        return cls(folder)

    @property
    def python(self) -> str:
        return str(self.folder / "bin/python")

    @property
    def command(self) -> str:
        return str(self.folder / "bin/synckairos")

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def install(self, requirement: str, wheels: Path) -> None:
        """As `pip install` does, from a folder of wheels in place of the index."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-compile"]
        done = subprocess.run(
            [*pip, "--no-index", "--find-links", str(wheels), requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def names(self) -> set[str]:
        """The packages in it."""
        found: Iterable[importlib.metadata.Distribution] = importlib.metadata.distributions(
            path=[str(self.packages)]
        )
        return {_normal(each.name) for each in found}

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """A program of it, in its folder, where nothing of the source is found."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={
                "PATH": f"{self.folder}/bin:/usr/bin:/bin",
                "HOME": str(self.folder),
                "COLUMNS": "100",
                **environ,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
