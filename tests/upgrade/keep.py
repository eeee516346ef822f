"""Keeps a release for the tests of upgrades: `python -m tests.upgrade.keep <commit>`, or `make last-release`.

`last_release.tar.xz` has what its services and workers need, and in `library.lua` its function library as it
was loaded. The files that browsers load are empty in it, as they are no part of these tests.
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
KEPT = Path(__file__).parent / "last_release.tar.xz"
LIBRARY = "library.lua"

LEFT_OUT = ("bench", "client", "doctor", "importing", "watch")
"""Packages that neither `synckairos serve` nor `synckairos worker` needs."""


def keep(commit: str) -> None:
    """Writes the archive from a commit."""
    whole = subprocess.run(
        ["git", "archive", commit, "synckairos", "lua"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(folder, filter="data")
        library = subprocess.run(
            [sys.executable, "-P", "-m", "synckairos", "functions", "bundle"],
            env={"PYTHONPATH": folder},
            capture_output=True,
            check=True,
        ).stdout
        KEPT.write_bytes(_packed(Path(folder), library))


def _packed(folder: Path, library: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        add(LIBRARY, library)
        for path in sorted((folder / "synckairos").rglob("*")):
            name = path.relative_to(folder)
            package = name.parts[1]
            if path.is_dir() or package in LEFT_OUT or path.suffix in (".md", ".pyc", ".png"):
                continue
            add(name.as_posix(), b"" if package == "web" else path.read_bytes())
    return lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    keep(sys.argv[1])
