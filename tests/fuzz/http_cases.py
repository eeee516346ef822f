"""Requests that schemathesis makes of the service's own description, for each role.

coverage: each field at its bounds and just beyond, each in turn
stateful: what one answer names goes into the next request
fuzzing: random requests, right ones and wrong ones

Ids in paths are those of sessions that are there, mostly; else every answer would be 404. Each answer has to
be one that the description has: its status, its type, its shape, its headers; and never a failure of the
service. The one answer of 500 or above that is right says that events are not stored yet.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.core import EventStream
from schemathesis.hooks import unregister

from tests.fuzz.report import Report
from tests.fuzz.target import PATIENCE_S, PEOPLE, SESSIONS, Target, token

ROLES = ["viewer", "player", "service", "moderator", "admin", "link", "nobody"]
"""Nobody has no token, and whoever comes by a link has that of a moderator."""
SHARES = {"coverage": 0.4, "stateful": 0.25, "fuzzing": 0.35}
"""How much of the cases each phase gets at most."""
LOOK_EVERY = 1000
# Not `positive_data_acceptance`: what a session's status or config does not allow is a 400, too.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
]
UUID = re.compile(r"[0-9a-fA-F-]{36}")
_PAST = re.compile(r"/v1/sessions/([0-9a-fA-F-]{36})/(events|timeline\.svg)")
"""The paths at which events are asked for that a log may not have any more."""
SCENARIO, OPERATIONS = 5, 40
"""About how many requests a chain of the stateful phase has at least, and how many operations there are."""


class Run:
    """One role's requests."""

    def __init__(self, target: Target, report: Report, role: str) -> None:
        self.target, self.report, self.role = target, report, role
        self.statuses: Counter[int] = Counter()
        self._looked = report.cases
        self._asked = 0
        self._stream: EventStream | None = None
        self._made: set[str] = set()
        """Ids that the service has made up, which stay as they are."""
        self._not_stored_yet: set[str] = set()
        """The ids of cases that asked for events that were not stored yet."""

    def phase(self, phase: str, cases: int) -> None:
        """At most so many requests of a phase. Raises TooManyFailures."""

        def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
            """Name what is there."""
            for name, value in (case.path_parameters or {}).items():
                case.path_parameters[name] = self._known(name, value)

            self._asked += 1
            if self._asked >= cases and self._stream is not None:
                self._stream.stop()

        def after_call(_context: Any, case: Any, response: Any) -> None:
            """Judge a 503 at once: a moment later the events may be stored, or the session another one."""
            if response.status_code == 503 and self._may_be_unavailable(response):
                self._not_stored_yet.add(case.id)

        self._asked = 0
        schemathesis.hook(before_call)  # schemathesis has these hooks for all schemas only
        schemathesis.hook(after_call)
        try:
            self._stream = from_schema(self._schema(phase, cases)).execute()
            self._follow(phase, self._stream)
        finally:
            self._stream = None
            unregister(before_call)
            unregister(after_call)

    def _follow(self, phase: str, stream: EventStream) -> None:
        for event in stream:
            if isinstance(event, events.ScenarioFinished):
                self._take(phase, event)
            elif isinstance(event, events.FatalError):
                raise event.exception
            elif isinstance(event, events.NonFatalError):
                self.report.fail("schemathesis could not go on", self.role, phase, event.label, event.value)
            if self.report.cases - self._looked >= LOOK_EVERY:
                self._looked = self.report.cases
                self.target.tend(self.report.looks)
                self.target.look(self.report)

    def _schema(self, phase: str, cases: int) -> Any:
        count = max(1, cases // (SCENARIO if phase == "stateful" else OPERATIONS))
        headers = {} if self.role == "nobody" else {"Authorization": f"Bearer {self._bearer()}"}
        config = SchemathesisConfig.from_dict(
            {
                "seed": self.report.seed,
                "base-url": self.target.url,
                "headers": headers,
                "request-timeout": PATIENCE_S,
                "continue-on-failure": True,
                "suppress-health-check": ["all"],
                "generation": {"max-examples": count, "no-shrink": True, "database": "none"},
                "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
                "phases": {name: {"enabled": name == phase} for name in ("examples", *SHARES)},
            }
        )
        url = f"{self.target.url}/openapi.json"
        return schemathesis.openapi.from_url(url, config=config)

    def _bearer(self) -> str:
        if self.role == "link":
            self.target.tend()
            return self.target.link()
        return token(self.role, participant=PEOPLE[0]) if self.role == "player" else token(self.role)

    def _known(self, name: str, value: Any) -> Any:
        """An id that is there, in most places of a made-up one. The same one each time for the same id."""
        pools = {"session_id": SESSIONS, "participant_id": PEOPLE, "webhook_id": self.target.webhooks}
        pool = pools.get(name)
        if not pool or not isinstance(value, str) or not UUID.fullmatch(value) or value in self._made:
            return value
        number = hashlib.sha256(value.encode()).digest()[0]
        return value if number % 8 == 0 else pool[number % len(pool)]

    def _may_be_unavailable(self, response: Any) -> bool:
        """Whether a 503 is the one that is right.

        A service without a worker, or with a slow one, cuts the logs of sessions before what it cuts off is
        stored, and says so when it is asked for that. Any other 503 is a failure: of another route, with
        another code, without a `Retry-After`, and for events that the log or the store has.
        """
        path = _PAST.fullmatch(urlsplit(response.request.url).path)
        if path is None or response.request.method != "GET" or "retry-after" not in response.headers:
            return False
        try:
            failure = response.json()["error"]
            code, since = failure["code"], failure["context"]["since"]
        except (ValueError, TypeError, KeyError):
            return False  # such a shape is a failure of its own
        return code == "STORAGE_UNAVAILABLE" and self.target.is_to_be_stored(path[1].lower(), path[2], since)

    def _take(self, phase: str, event: events.ScenarioFinished) -> None:
        recorder = event.recorder
        for case_id, interaction in recorder.interactions.items():
            self.report.cases += 1
            if interaction.response is None:
                self.report.fail("no answer", self.role, phase, event.label, interaction.request.uri)
                continue
            status = interaction.response.status_code
            self.statuses[status] += 1
            self.report.answers[str(status)] += 1
            self.report.figures.setdefault(phase, 0)
            self.report.figures[phase] += 1
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                self._made.add(interaction.response.json()["data"]["session_id"])
            for check in recorder.checks.get(case_id, []):
                if check.name == "not_a_server_error" and case_id in self._not_stored_yet:
                    continue
                if check.status != Status.SUCCESS:
                    assert check.failure_info is not None
                    self.report.fail(
                        f"{check.name}: {check.failure_info.failure.title}",
                        (self.role, phase, event.label, status),
                        check.failure_info.failure.message,
                        check.failure_info.code_sample,
                    )


def run(target: Target, cases: int, seed: int, roles: Sequence[str] = ROLES) -> Report:
    """Fuzz the routes of a service, as each of these roles."""
    report = Report("http", seed)
    target.tend()
    with report.running():
        for number, role in enumerate(roles, 1):
            requests = Run(target, report, role)
            end = cases * number // len(roles)
            mine = end - report.cases
            for phase, share in SHARES.items():
                left = end - report.cases
                requests.phase(phase, left if phase == "fuzzing" else min(left, int(share * mine)))
            report.figures[role] = dict(sorted(requests.statuses.items()))
        target.look(report)
        target.finish(report)
    return report
