"""A short run of each fuzzer, another one each time; the long ones are those of `make fuzz`."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from synckairos.audit.jobs import Jobs
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from synckairos.run.processes import free_port
from tests.fuzz import fcall_cases, http_cases, socket_cases
from tests.fuzz.report import Report
from tests.fuzz.target import ENVIRON, PATIENCE_S, PEOPLE, Target, token
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


def test_a_503_is_right_only_for_events_that_wait_to_be_stored(
    target: Target, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This service has no worker, so what has left a log stays in the queue."""
    session_id = str(uuid.uuid4())
    people = [{"participant_id": each, "total_time_ms": 3_600_000} for each in PEOPLE]
    config = {"session_id": session_id, "sync_mode": "per_participant", "participants": people}
    headers = {"authorization": f"Bearer {token('admin')}"}
    at = f"/v1/sessions/{session_id}"
    with httpx.Client(base_url=target.url, timeout=PATIENCE_S, headers=headers) as admin:
        for path, body in (("/v1/sessions", config), (f"{at}/start", None), *[(f"{at}/switch", None)] * 40):
            admin.post(path, json=body).raise_for_status()
        with redis.sync_client() as client:  # as the service does, but not by the piece of memory
            client.xtrim(SessionKeys.of(session_id).log, minid="21-0", approximate=False)
        versions = (0, 19, 20, 42)
        for what in ("events", "timeline.svg"):
            found = [admin.get(f"{at}/{what}", params={"since": since}).status_code for since in versions]
            waits = [target.is_to_be_stored(session_id, what, since) for since in versions]
            assert (found, waits) == ([503, 503, 200, 200], [True, True, False, False])
    assert not target.is_to_be_stored(str(uuid.uuid4()), "events", 0), "there is no such session"
    monkeypatch.setattr(Jobs, "waiting", lambda _: iter(()))
    monkeypatch.setattr("tests.fuzz.target.PATIENCE_S", 0.3)
    assert not target.is_to_be_stored(session_id, "events", 0), "it does not wait, and is not told"


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
