"""What callers were answered, against what happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from synckairos.history.events import Place
from synckairos.history.faults import Faults
from synckairos.history.figures import Figures
from synckairos.history.findings import Finding
from synckairos.history.lines import Call
from synckairos.history.truth import History, plain

FIRST = Place(0, 1)
"""Where every history begins."""


def place_of(call: Call) -> Place | None:
    """Where the change stands that a call was answered with."""
    if call.version is None or call.epoch is None:
        return None
    return Place(int(call.epoch), call.version)


SHOWS_STATE = frozenset(
    {"sk_create", "sk_start", "sk_pause", "sk_resume", "sk_complete", "sk_cancel", "sk_restore"}
)
"""Over HTTP, these are answered with the session's state, in which more may have happened."""


def _shows_later(call: Call, done: list[Place]) -> bool:
    """Whether a call was answered with a state after the change that it made."""
    place = place_of(call)
    return call.function in SHOWS_STATE and len(done) == 1 and place is not None and place > done[0]


class Answers:
    """All calls of all recordings. Adds to the findings and to the figures."""

    def __init__(
        self,
        calls: list[Call],
        histories: Mapping[str, History],
        faults: Faults,
        findings: list[Finding],
        figures: Figures,
        *,
        may_lose_ms: float | None,
    ) -> None:
        self._histories = histories
        self._faults = faults
        self._findings = findings
        self._figures = figures
        self._may_lose_ms = may_lose_ms
        self._known = {call.request_id: plain(call.request_id) for call in calls}
        requests: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in calls:
            requests[call.session_id, self._known[call.request_id]].append(call)
        names = set(self._known.values())
        self._traced = any(
            trace is not None and plain(trace) in names
            for history in histories.values()
            for trace in history.traces.values()
        )
        """Whether events show request ids."""
        self._later: set[int] = set()
        """The calls (by id) that were answered with a state after their own change."""
        self.rewritten: set[tuple[str, Place]] = set()
        self._check_requests(requests)
        self._check_places(calls)

    def _check_requests(self, requests: Mapping[tuple[str, str], list[Call]]) -> None:
        traces = {name: history.by_trace() for name, history in self._histories.items()}
        for (session_id, request), calls in requests.items():
            done = traces.get(session_id, {}).get(request, [])
            acknowledged = [call for call in calls if call.outcome == "acknowledged"]
            told = {
                place
                for call in acknowledged
                if (place := place_of(call)) is not None and not _shows_later(call, done)
            }
            if len(done) > 1 or len(told) > 1:
                places = sorted({*done, *told})
                text = f"request {request}: versions {', '.join(str(place.version) for place in places)}"
                self._findings.append(Finding("doubled", session_id, *places[-1], text))
            if done and all(call.outcome == "refused" for call in calls):
                text = f"request {request}: {calls[-1].code}"
                self._findings.append(Finding("done though refused", session_id, *done[0], text))
            for call in acknowledged:
                if _shows_later(call, done):
                    self._later.add(id(call))
            if acknowledged:
                self._check_acknowledged(acknowledged[0], done)

    def _check_acknowledged(self, call: Call, done: list[Place]) -> None:
        """An acknowledged request has to be in the true history."""
        history = self._histories.get(call.session_id)
        place = place_of(call)
        if history is None or (place is None and not self._traced):
            self._figures.not_known += 1
        elif place is None:
            if not done and history.knows(FIRST):
                self._lose(call, history.last)
            elif not done:
                self._figures.not_known += 1
        elif place not in history.traces:
            if history.knows(place):
                self._lose(call, place)
            else:
                self._figures.not_known += 1
        elif id(call) in self._later:
            return
        elif self._traced and plain(history.traces[place] or "") != self._known[call.request_id]:
            self._lose(call, place)
            self._give_twice(call, place, "the history has another request there")

    def _check_places(self, calls: list[Call]) -> None:
        """No two requests may have been answered with the same change."""
        first: dict[tuple[str, Place], str] = {}
        for call in calls:
            place = place_of(call)
            if call.outcome == "acknowledged" and place is not None and id(call) not in self._later:
                request = self._known[call.request_id]
                if first.setdefault((call.session_id, place), request) != request:
                    self._give_twice(call, place, "two requests were answered with it")

    def _lose(self, call: Call, place: Place) -> None:
        fault, after_ms = self._faults.of(call.answered_ms)
        text = f"request {call.request_id}"
        self._figures.lost += 1
        if fault is not None:
            self._figures.lost_after_ms.append(after_ms)
            if self._may_lose_ms is not None and abs(after_ms) <= self._may_lose_ms:
                return
            text += f", acknowledged {round(after_ms)} ms after {fault} began"
        self._findings.append(Finding("lost", call.session_id, *place, text))

    def _give_twice(self, call: Call, place: Place, text: str) -> None:
        if (call.session_id, place) not in self.rewritten:
            self.rewritten.add((call.session_id, place))
            self._findings.append(
                Finding("rewritten", call.session_id, *place, f"request {call.request_id}: {text}")
            )
