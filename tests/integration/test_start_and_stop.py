"""Processes that are asked to end at any moment of their start, and the port before anything answers.

The moments are other ones on every run, each between two bounds.
"""

from __future__ import annotations

import os
import pty
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from synckairos.run.processes import bind, free_port, listens
from tests.support import servers
from tests.support.programs import COMMAND, ENVIRON, Program, get
from tests.support.terminal import own_terminal

Moments = tuple[float, float]
"""Seconds, from and to."""

ENDS_WITHIN_S = 6.0
"""No request is under way, so nothing needs its grace; a lost signal takes 17 s."""
DEV_ENDS_WITHIN_S = 12.0
"""Valkey and PostgreSQL write down what they have."""


def ends_in_time(program: Program, number: int, within_s: float = ENDS_WITHIN_S) -> None:
    began = time.monotonic()
    program.process.send_signal(number)
    code = program.process.wait(20)
    took_s = time.monotonic() - began
    program.gone()
    said = "".join(program.errors)
    assert took_s < within_s, said
    assert "did not end in time" not in said
    if number == signal.SIGTERM:
        assert "Traceback" not in said
    # While Python itself starts, the signal ends it as it ends any program.
    assert code in (0, 1, -number), said


@pytest.mark.parametrize("between_s", [(0, 0.4), (0.4, 0.8), (0.8, 1.2), (1.2, 1.6), (1.6, 2)])
def test_serve_ends_at_any_moment_of_its_start(between_s: Moments, redis: servers.Server) -> None:
    number = random.choice((signal.SIGTERM, signal.SIGINT))
    with Program("serve", PORT=str(free_port()), REDIS_URL=redis.url) as program:
        time.sleep(random.uniform(*between_s))  # wherever that finds it
        ends_in_time(program, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_right_after_its_first_answer(number: int, redis: servers.Server) -> None:
    port = free_port()
    with Program("serve", PORT=str(port), REDIS_URL=redis.url, WORKERS="2") as program:
        program.until(lambda: answers(port), "an answer")
        time.sleep(random.choice((0, 0.002, 0.01)))
        began = time.monotonic()
        program.process.send_signal(number)
        assert program.process.wait(20) == 0
        assert time.monotonic() - began < ENDS_WITHIN_S, "".join(program.errors)


@pytest.mark.parametrize("between_s", [(0, 0.5), (0.5, 1), (1, 1.5)])
def test_a_worker_ends_at_any_moment_of_its_start(between_s: Moments, redis: servers.Server) -> None:
    """Also where the signal reaches the worker itself: the parent starts another one then."""
    with Program("serve", PORT=str(free_port()), REDIS_URL=redis.url) as program:
        program.until(lambda: len(program.workers()) == 1, "a worker")
        (worker,) = program.workers()
        time.sleep(random.uniform(*between_s))
        worker.terminate()
        worker.wait(ENDS_WITHIN_S)
        ends_in_time(program, signal.SIGTERM)


@pytest.mark.parametrize(
    ("step", "between_s"),
    [
        ("", (0, 1)),
        ("starting Valkey", (0, 0.1)),
        ("starting PostgreSQL", (0, 1.6)),
        ("making the tables", (0, 0.3)),
        ("starting the audit worker", (0, 0.1)),
        ("starting the service", (0, 1.3)),
    ],
)
def test_dev_ends_at_any_moment_of_its_start(step: str, between_s: Moments, tmp_path: Path) -> None:
    number = random.choice((signal.SIGTERM, signal.SIGINT))
    with Program("dev", "--port", "0", "--ephemeral", TMPDIR=str(tmp_path)) as program:
        program.until(lambda: any(line.startswith(step) for line in ["", *program.errors]), step)
        time.sleep(random.uniform(*between_s))
        ends_in_time(program, number, DEV_ENDS_WITHIN_S)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.one_kind
@pytest.mark.parametrize(
    ("step", "between_s"),
    [
        ("", (0, 0.7)),
        ("", (0.7, 1.4)),
        ("waiting for batches", (0, 0.005)),
        ("waiting for batches", (0.005, 0.01)),
        ("waiting for batches", (0.01, 0.1)),
    ],
)
def test_the_audit_worker_ends_at_any_moment_of_its_start(
    step: str, between_s: Moments, redis: servers.Server, database: str
) -> None:
    with Program("worker", REDIS_URL=redis.url, DATABASE_URL=database) as program:
        program.until(lambda: step in "".join(program.errors), step)
        time.sleep(random.uniform(*between_s))
        ends_in_time(program, signal.SIGTERM)


def test_the_audit_worker_ends_while_postgresql_does_not_answer(redis: servers.Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/db"
        with Program("worker", REDIS_URL=redis.url, DATABASE_URL=url) as program:
            connection, _ = silent.accept()
            with connection:
                ends_in_time(program, signal.SIGINT)


def test_serve_ends_while_redis_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with Program("serve", PORT=str(free_port()), REDIS_URL=url) as program:
            connection, _ = silent.accept()
            with connection:
                ends_in_time(program, signal.SIGTERM)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_connections_are_refused_until_a_worker_can_answer(workers: str, redis: servers.Server) -> None:
    port = free_port()
    with Program("serve", PORT=str(port), REDIS_URL=redis.url, WORKERS=workers) as program:
        refused = 0
        program.until(lambda: len(program.workers()) == int(workers), "the workers")
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            except ConnectionRefusedError:
                refused += 1
                time.sleep(0.005)
                assert program.process.poll() is None
                continue
            with connection:
                began = time.monotonic()
                connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(64).startswith(b"HTTP/1.1 200")
                # Not a wait for a worker that is still starting, which takes a second.
                assert time.monotonic() - began < 0.5
            break
        assert refused
        program.until(lambda: any("listening" in line for line in program.errors), "its word")


def test_connections_are_refused_while_the_last_requests_end(redis: servers.Server) -> None:
    """So that whoever comes tries another process at once, and does not wait for this one to be gone."""
    port = free_port()
    with Program("serve", PORT=str(port), REDIS_URL=redis.url, WORKERS="2") as program:
        program.until(lambda: answers(port), "an answer")
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{")
            time.sleep(0.5)  # until a worker waits for the rest
            program.process.send_signal(signal.SIGTERM)
            program.until(lambda: not connects(port), "a refusal")
            slow.sendall(b"}")
            assert slow.recv(65536).startswith(b"HTTP/1.1 400")
        assert program.process.wait(20) == 0


def test_serve_ends_with_its_terminal(redis: servers.Server) -> None:
    """That is the signal which otherwise has the workers replaced."""
    port = free_port()
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "serve"],
        env={**ENVIRON, "PORT": str(port), "REDIS_URL": redis.url},
        start_new_session=True,
        preexec_fn=own_terminal,  # noqa: PLW1509 - it calls ioctl and nothing else
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(terminal)
        try:
            while not answers(port):
                assert process.poll() is None
                time.sleep(0.05)
            os.close(keyboard)
            code = process.wait(20)
        finally:
            process.kill()
    assert code == 0


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_bound_port_is_busy_before_anything_listens() -> None:
    with bind("127.0.0.1", 0) as first:
        assert not listens(first)
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", first.getsockname()[1])
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.listen()
        assert listens(first)


def answers(port: int) -> bool:
    with suppress(OSError):
        return get(f"http://127.0.0.1:{port}/health")[0] == 200
    return False
