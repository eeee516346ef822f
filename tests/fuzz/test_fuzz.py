"""A short run of each fuzzer, another one each time; the long ones are those of `make fuzz`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from synckairos.core.library import Library
from synckairos.run.processes import free_port
from tests.fuzz import fcall_cases, http_cases, socket_cases
from tests.fuzz.report import Report
from tests.fuzz.target import ENVIRON, Target
from tests.support.pool import Pool
from tests.support.programs import Program, get
from tests.support.servers import Server

SEED = random.SystemRandom().randrange(2**32)


@pytest.fixture(scope="module")
def target(redis: Server, pool: Pool) -> Iterator[Target]:
    """A service of one process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with pool.postgres("embedded").lend_database() as database:
        environ = {**ENVIRON, "PORT": str(port), "REDIS_URL": redis.url, "DATABASE_URL": database}
        with Program("serve", **environ) as program:
            program.until(lambda: _is_ready(url), "the service to be ready")
            target = Target(program, url, redis.url)
            yield target
            target.close()


def _is_ready(url: str) -> bool:
    try:
        return get(f"{url}/ready")[0] == 200
    except OSError:
        return False


def is_sound(report: Report) -> None:
    assert not report.failures, "\n".join(report.failures)
    assert report.looks


def test_no_request_of_any_role_fails_the_service(target: Target) -> None:
    roles = random.sample(http_cases.ROLES, 2)  # each costs a second before its first request
    is_sound(http_cases.run(target, 120, SEED, roles))


def test_no_message_frame_or_handshake_fails_a_socket(target: Target) -> None:
    is_sound(socket_cases.run(target, 1000, SEED))


def test_no_call_of_a_function_fails_or_changes_what_it_refuses(server: Server) -> None:
    is_sound(fcall_cases.run(server, 1000, SEED))


@pytest.mark.one_kind
@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("error('x')", "the error is not one of the contract"),
        ("redis.call('HSET', s.key, 'started', '1')", "a refused call has changed something"),
        ("redis.call('SET', 'elsewhere', '1')", "a key is outside of sk:"),
    ],
)
def test_a_fault_of_a_function_is_found(
    server: Server, monkeypatch: pytest.MonkeyPatch, fault: str, found: str
) -> None:
    sound = Library.assemble(virtual_time=True)
    begins = "local function start(s)\n"
    assert begins in sound.payload
    faulty = replace(sound, payload=sound.payload.replace(begins, f"{begins}  {fault}\n"))
    monkeypatch.setattr(Library, "assemble", lambda **_: faulty)
    report = fcall_cases.run(server, 1000, seed=1)
    assert any(found in failure for failure in report.failures), report.last_line()
