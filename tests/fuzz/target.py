"""The service that is fuzzed: real processes that ask for tokens, and what has to hold of them meanwhile."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import redis

from synckairos.audit.jobs import Jobs
from synckairos.auth.signing import sign
from synckairos.core.connection import connect
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Envelope
from synckairos.history.servers import all_session_ids, read_sessions
from synckairos.history.truth import History
from tests.fuzz.report import Report
from tests.support.leaks import take_leaks
from tests.support.live import settings
from tests.support.programs import Program

SECRET = "a secret for fuzzers, which is long enough"
TENANT = "club"
PATIENCE_S = 30.0
"""After this time something is stuck. A machine may stand still for some seconds."""
ENVIRON = {
    "AUTH_MODE": "jwt",
    "JWT_SECRET": SECRET,
    "RATE_LIMIT_ENABLED": "false",
    "LOG_LEVEL": "error",
}
HOOK = {"url": "http://127.0.0.1:9/nobody", "events": ["session.*"]}
"""A webhook whose receiver is not there."""
PEOPLE = [str(uuid.UUID(int=0xA0000000_0000_4000_8000_000000000000 + number)) for number in range(3)]
SESSIONS = [str(uuid.UUID(int=0x5E550000_0000_4000_8000_0000000000F0 + number)) for number in range(4)]
"""The sessions whose ids stand in cases; `tend` keeps them in play."""

_decode_envelope = msgspec.json.Decoder(Envelope).decode


def token(*roles: str, for_s: float = 36_000, **claims: Any) -> str:
    """A token of the tenant."""
    now = time.time()
    given = {"sub": "-".join(roles) or "nobody", "tenant": TENANT, "roles": list(roles), "iat": int(now) - 1}
    return sign(SECRET, {**given, "exp": now + for_s, **claims})


class Target:
    """A running service.

    program: its processes
    """

    def __init__(self, program: Program, url: str, redis_url: str) -> None:
        self.url, self.redis_url = url, redis_url
        self._program = program
        self._admin = httpx.Client(
            base_url=url, timeout=PATIENCE_S, headers={"authorization": f"Bearer {token('admin')}"}
        )
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=PATIENCE_S)
        self._queue = Jobs.of(settings(redis_url))
        self._pids = self._workers()
        self.webhooks: list[str] = []
        """The ids of two webhooks; `tend` keeps them there."""

    def close(self) -> None:
        """Close the connections."""
        self._admin.close()
        self._redis.close()
        self._queue.close()

    def tend(self, number: int = 0) -> None:
        """Have each of the sessions run, or be paused or pending, whatever became of it.

        number: the sessions get another status each time
        """
        for place, session_id in enumerate(SESSIONS):
            at = f"/v1/sessions/{session_id}"
            status = self._admin.get(at).json().get("data", {}).get("status")
            if status not in ("pending", "running", "paused"):
                self._admin.delete(at)
                self._admin.post("/v1/sessions", json=_config(session_id))
            wanted = (place + number) % 8
            if wanted < 5:
                self._admin.post(f"{at}/start")
                self._admin.post(f"{at}/resume")
            if wanted == 4:
                self._admin.post(f"{at}/pause")
        there = self._admin.get("/v1/webhooks").json()["data"]["webhooks"]
        made = [self._admin.post("/v1/webhooks", json=HOOK) for _ in range(2 - len(there))]
        self.webhooks = [each["webhook_id"] for each in [*there, *(each.json()["data"] for each in made)]][:2]

    def link(self) -> str:
        """The token of a link with which a moderator without an account comes to the first session."""
        answer = self._admin.post(f"/v1/sessions/{SESSIONS[0]}/links", json={"role": "moderator"})
        return str(answer.json()["data"]["token"])

    def is_to_be_stored(self, session_id: str, what: str, since: int) -> bool:
        """Whether the event after a version has left the session's log and waits to be stored.

        One that does not wait any more is stored, so the service has to tell it when it is asked again.

        what: the end of the path at which it was asked for
        """
        keys = SessionKeys.of(session_id)
        oldest: Any = self._redis.xrange(keys.log, count=1)
        epoch: Any = self._redis.hget(keys.session, "epoch")
        if not oldest or epoch is None or int(oldest[0][0].partition(b"-")[0]) <= since + 1:
            return False
        wanted = (epoch.decode(), since + 1)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if wanted in self._waiting(session_id):
                return True
            answer = self._admin.get(f"/v1/sessions/{session_id}/{what}", params={"since": since})
            if answer.status_code == 200:
                return True
            time.sleep(0.1)  # it may be in the outbox, or in the archiver's hands
        return False

    def _waiting(self, session_id: str) -> set[tuple[str, int]]:
        """Epoch and version of a session's events that wait in the audit's queue."""
        entries = (entry for batch in self._queue.waiting() for entry in batch.entries)
        found = (_decode_envelope(entry.body) for entry in entries if entry.session_id == session_id)
        return {(event.epoch, event.version) for event in found}

    def look(self, report: Report) -> None:
        """Note when the service does not answer, a process was started again, or Redis stands still."""
        report.looks += 1
        if self._workers() != self._pids:
            report.fail("a process of the service has ended", self._pids, "".join(self._program.errors[-30:]))
            self._pids = self._workers()
        try:
            for path in ("/health", "/ready"):
                answer = self._admin.get(path)
                if answer.status_code != 200:
                    report.fail(f"{path} is not well", answer.text)
            self._fresh_switch(report)
            self._redis.ping()
        except (httpx.TransportError, redis.RedisError) as error:
            report.fail("something is stuck", error)

    def _fresh_switch(self, report: Report) -> None:
        session_id = str(uuid.uuid4())
        at = f"/v1/sessions/{session_id}"
        for method, path, body in (
            ("POST", "/v1/sessions", _config(session_id)),
            ("POST", f"{at}/start", None),
            ("POST", f"{at}/switch", None),
            ("DELETE", at, None),
        ):
            answer = self._admin.request(method, path, json=body)
            if answer.status_code >= 300:
                report.fail("a new session does not work", path, answer.status_code, answer.text)

    def finish(self, report: Report) -> None:
        """Note what is wrong in the histories of all sessions, keys without an end, and errors in the log."""
        report.figures["sessions"] = asyncio.run(self._histories(report))
        for name in self._redis.scan_iter(count=1000):
            if not name.startswith((b"sk:", b"rq:")):
                report.fail("a key is outside of sk:", name)
        if leaks := take_leaks(self._redis):
            report.fail("keys without an end are left", leaks)
        said = "".join(self._program.errors)
        if "Traceback" in said:
            report.fail("the service had an error", said[said.index("Traceback") - 500 :])

    async def _histories(self, report: Report) -> int:
        connection = await connect(settings(self.redis_url))
        try:
            ids = await all_session_ids(connection, None)
            async for truth in read_sessions(connection, None, ids):
                for finding in History(truth, complete=False).findings:
                    report.fail("the history is wrong", finding)
            return len(ids)
        finally:
            await connection.aclose()

    def _workers(self) -> set[int]:
        return {process.pid for process in self._program.workers()}


@contextmanager
def own_service(workers: int = 2) -> Iterator[Target]:
    """Everything with a Valkey and a PostgreSQL of its own, which are gone afterwards."""
    arguments = ["--ephemeral", "--port", "0", "--workers", str(workers), "--auth"]
    with Program("dev", *arguments, **ENVIRON) as program:
        target = Target(program, *program.ready())
        try:
            yield target
        finally:
            target.close()


def _config(session_id: str) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "sync_mode": "per_participant",
        "participants": [{"participant_id": each, "total_time_ms": 3_600_000} for each in PEOPLE],
        "increment_ms": 1000,
        "players_may_pause": True,
        "players_may_choose_next": True,
    }
