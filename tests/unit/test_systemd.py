"""What systemd is told, on a socket in the place of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from synckairos import systemd


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_ready_reloading_and_stopping(told: socket.socket) -> None:
    systemd.ready("answers")
    systemd.reloading()
    systemd.stopping()
    messages = [dict(line.split("=") for line in told.recv(4096).decode().split("\n")) for _ in range(3)]
    assert messages[0] == {"READY": "1", "STATUS": "answers"}
    assert messages[1].keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert messages[1]["MONOTONIC_USEC"].isdecimal()
    assert messages[2]["STOPPING"] == "1"


def test_a_name_that_is_in_no_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"synckairos-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        systemd.ready("answers")
        assert listening.recv(4096) == b"READY=1\nSTATUS=answers"


def test_the_watchdog_is_told_twice_in_its_interval(
    told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("synckairos.systemd.time.monotonic", lambda: now)
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    watchdog = systemd.Watchdog()
    count = 0
    for now in (100.0, 101.0, 104.9, 105.0, 109.9, 110.0):  # noqa: B007 - the clock of the watchdog reads it
        watchdog.beat()
    while True:
        try:
            assert told.recv(4096) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        count += 1
    assert count == 3


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_nobody_asked_this_process_for_says_nothing(
    environ: dict[str, str], told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    systemd.Watchdog().beat()
    with pytest.raises(BlockingIOError):
        told.recv(4096)


def test_without_systemd_nothing_is_sent_and_a_socket_that_is_gone_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.ready("answers")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.ready("answers")
