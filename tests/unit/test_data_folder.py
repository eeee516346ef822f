"""The data folder of `dev`: other commands find its servers there, and looking does not block `dev`."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from synckairos.run import data_folder
from synckairos.run.data_folder import DataFolderError

ADDRESSES = {"REDIS_URL": "redis://127.0.0.1:1/0", "HTTP_URL": "http://127.0.0.1:2"}


def test_the_addresses_are_there_as_long_as_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert data_folder.addresses(folder) is None
    with data_folder.locked(folder) as (_, _lock):
        assert data_folder.addresses(folder) is None
        with data_folder.announced(folder, ADDRESSES):
            assert data_folder.addresses(folder) == ADDRESSES
            assert (folder / "addresses.json").stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in folder.iterdir()) == ["lock"]
    assert data_folder.addresses(folder) is None


def test_what_a_killed_one_left_behind_counts_for_nothing(tmp_path: Path) -> None:
    with data_folder.locked(tmp_path), data_folder.announced(tmp_path, ADDRESSES):
        left = (tmp_path / "addresses.json").read_bytes()
    (tmp_path / "addresses.json").write_bytes(left)
    (tmp_path / "addresses.json").chmod(0o600)
    assert data_folder.addresses(tmp_path) is None
    with data_folder.locked(tmp_path), data_folder.announced(tmp_path, {"REDIS_URL": "redis://new"}):
        assert data_folder.addresses(tmp_path) == {"REDIS_URL": "redis://new"}


def test_looking_makes_nothing(tmp_path: Path) -> None:
    data_folder.addresses(tmp_path)
    data_folder.addresses(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def _linked(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to(file.with_name("other"))


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


@pytest.mark.parametrize("name", ["lock", "addresses.json"])
@pytest.mark.parametrize(
    "spoil", [_linked, _pipe, _folder, lambda file: file.chmod(0o640), lambda file: file.chmod(0o602)]
)
def test_only_files_of_this_user_count(name: str, spoil: Callable[[Path], None], tmp_path: Path) -> None:
    with data_folder.locked(tmp_path):
        (tmp_path / "addresses.json").write_text(json.dumps(ADDRESSES))
        (tmp_path / "addresses.json").chmod(0o600)
        assert data_folder.addresses(tmp_path) == ADDRESSES
        spoil(tmp_path / name)
        assert data_folder.addresses(tmp_path) is None


def test_files_of_another_user_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with data_folder.locked(tmp_path), data_folder.announced(tmp_path, ADDRESSES):
        assert data_folder.addresses(tmp_path) == ADDRESSES
        another = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: another)
        assert data_folder.addresses(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_file_that_makes_no_sense_counts_for_nothing(text: str, tmp_path: Path) -> None:
    with data_folder.locked(tmp_path), data_folder.announced(tmp_path, ADDRESSES):
        (tmp_path / "addresses.json").write_text(text, encoding="latin-1")
        assert data_folder.addresses(tmp_path) is None


def test_a_look_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    with data_folder.locked(tmp_path):
        pass
    look = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    timer = threading.Timer(0.1, os.close, (look,))
    timer.start()
    try:
        with data_folder.locked(tmp_path), pytest.raises(DataFolderError, match="in use"):
            data_folder.locked(tmp_path).__enter__()
    finally:
        timer.join()
