"""Keeps a release for the tests of upgrades: `python -m tests.upgrade.keep <commit>`, or `make last-release`.

`last_release/library.lua` is its function library as it was loaded, and `last_release/service.tar.xz` what
`synckairos serve` needs. The files that browsers load are empty in it, as they are no part of these tests.
"""

from __future__ import annotations

import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "last_release"
LIBRARY = FOLDER / "library.lua"
SERVICE = FOLDER / "service.tar.xz"

LEFT_OUT = ("bench", "client", "doctor", "importing", "watch")
"""Packages that `synckairos serve` does not need."""


def keep(commit: str) -> None:
    """Writes both files from a commit."""
    whole = subprocess.run(
        ["git", "archive", commit, "synckairos", "lua"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(folder, filter="data")
        LIBRARY.write_bytes(
            subprocess.run(
                [sys.executable, "-P", "-m", "synckairos", "functions", "bundle"],
                env={"PYTHONPATH": folder},
                capture_output=True,
                check=True,
            ).stdout
        )
        SERVICE.write_bytes(_packed(Path(folder)))


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted((folder / "synckairos").rglob("*")):
            name = path.relative_to(folder)
            package = name.parts[1]
            if path.is_dir() or package in LEFT_OUT or path.suffix in (".md", ".pyc", ".png"):
                continue
            content = b"" if package == "web" else path.read_bytes()
            entry = tarfile.TarInfo(name.as_posix())
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    keep(sys.argv[1])
