"""One session's true history: its events through all epochs, and what is wrong with it by itself.

Where a newer epoch begins, it replaces what the older one has from that version on. An id that was used
again begins a new life: its first event is `session.created` at version 1, and replaces nothing.
"""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from itertools import groupby

import msgspec

from synckairos.history.clocks import Clocks
from synckairos.history.events import Event, Place, State, decode_event, decode_state
from synckairos.history.findings import Finding, Kind

OVERDUE_MS = 10_000
"""What was due so long ago should have been carried out: no grace is longer than 2 s."""


def digest(body: bytes) -> bytes:
    """What two equal texts have in common."""
    return blake2b(body, digest_size=16).digest()


NO_STATE = msgspec.Raw(b"null")
"""There is no session, and no snapshot of it."""


class SessionTruth(msgspec.Struct, frozen=True):
    """What is known of a session: its events (JSON) by where they were found, and its state, if it is there.

    live: the state is the present one, and not that of a snapshot, which may be older than the events
    moved: it has moved to another Redis, which has its history, so that here it has no events and no state
    """

    session_id: str
    events: dict[str, list[msgspec.Raw]]
    state: msgspec.Raw = NO_STATE
    live: bool = False
    moved: bool = False

    def decoded_state(self) -> State | None:
        """The state; None when there is neither a session nor a snapshot."""
        return None if self.state == NO_STATE else decode_state(self.state)


class History:
    """The true history of a session.

    complete: whether all its events have to be there, from version 1 on
    """

    def __init__(self, truth: SessionTruth, *, complete: bool) -> None:
        self.session_id = truth.session_id
        self.complete = complete
        self.findings: list[Finding] = []
        self.digests: dict[Place, bytes] = {}
        """Of all events that are known, also of those that were replaced."""
        self.traces: dict[Place, str | None] = {}
        """The events that count, with the trace of each."""
        self.begins: dict[int, Event] = {}
        """By epoch, its first event."""
        self.superseded = 0
        self.rewritten: set[Place] = set()
        self.late_ms: list[int] = []
        self.clocks_checked = 0
        found = self._collect(truth)
        events = self._join(found)
        self.traces = {event.place: event.payload.trace for event in events}
        self.last = events[-1].place if events else Place(0, 0)
        self.first = events[0].place if events else Place(0, 0)
        self._follow(events)
        state = truth.decoded_state()
        if state is not None:
            self._follow_clocks(events, state, live=truth.live)

    def knows(self, place: Place) -> bool:
        """Whether an event of this place would be there: it is not before the first one that is known."""
        return self.complete or place.version >= self.first.version

    def by_trace(self) -> dict[str, list[Place]]:
        """The events that count, by trace."""
        found: dict[str, list[Place]] = defaultdict(list)
        for place, trace in self.traces.items():
            if trace is not None:
                found[plain(trace)].append(place)
        return found

    def find(self, kind: Kind, place: Place, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(kind, self.session_id, *place, text))

    def _collect(self, truth: SessionTruth) -> list[Event]:
        """Each event once, in order."""
        events: dict[Place, Event] = {}
        first: dict[Place, str] = {}
        for source, bodies in truth.events.items():
            here: set[Place] = set()
            for body in bodies:
                event = decode_event(body)
                place, own = event.place, digest(body)
                if place in here:
                    self.find("doubled", place, f"the {source} has it twice")
                here.add(place)
                if events.setdefault(place, event) is event:
                    self.digests[place] = own
                    first[place] = f"the {source}"
                elif self.digests[place] != own and place not in self.rewritten:
                    self.rewritten.add(place)
                    self.find("rewritten", place, f"the {source} has another event than {first[place]}")
        return [events[place] for place in sorted(events)]

    def _join(self, found: list[Event]) -> list[Event]:
        """The events that count, in order."""
        lines = [list(events) for _, events in groupby(found, lambda event: event.place.epoch)]
        self.begins = {line[0].place.epoch: line[0] for line in lines}
        joined: list[Event] = []
        newer: Event | None = None
        for line in reversed(lines):
            kept = line
            if newer is not None:
                if newer.name != _OTHER_CLOCK:
                    self._find_late(line, newer)
                if not _begins_life(newer):
                    kept = [event for event in line if event.version < newer.version]
                    self.superseded += len(line) - len(kept)
            joined[:0] = kept
            if newer is None or _begins_life(newer) or line[0].version < newer.version:
                newer = line[0]
        self._find_gaps(joined)
        return joined

    def _find_late(self, line: list[Event], newer: Event) -> None:
        """Finds what an older epoch did after a newer one had begun."""
        late = [event for event in line if event.server_time_ms > newer.server_time_ms]
        if late:
            more = f", and {len(late) - 1} more" if len(late) > 1 else ""
            by = late[0].server_time_ms - newer.server_time_ms
            self.find("older epoch", late[0].place, f"{by} ms after epoch {newer.epoch} began{more}")

    def _find_gaps(self, joined: list[Event]) -> None:
        expected = 1 if self.complete else None
        for event in joined:
            if expected is not None and event.version != expected and not _begins_life(event):
                self.find("gap", event.place, f"it comes where version {expected} has to come")
            expected = event.version + 1

    def _follow(self, events: list[Event]) -> None:
        """Checks the server's time, and that no deadline expires twice."""
        before = 0
        expired: set[tuple[str | None, int]] = set()
        for event in events:
            place, payload = event.place, event.payload
            if event.server_time_ms < before and not _begins_life(event) and event.name != _OTHER_CLOCK:
                self.find("clock step", place, f"{before - event.server_time_ms} ms back")
            before = event.server_time_ms
            if payload.expired_deadline_ms is not None:
                what = payload.expired_participant_id, payload.expired_deadline_ms
                if what in expired:
                    self.find("expired twice", place, f"{what[0]} at {what[1]}")
                expired.add(what)
                self.late_ms.append(payload.late_ms or 0)
            elif event.name not in _SAME_TIME:
                expired.clear()  # its time was changed by hand, and the same deadline may come again

    def _follow_clocks(self, events: list[Event], state: State, *, live: bool) -> None:
        """Checks the sums of the clocks, and compares the state with the events."""
        beginnings = [number for number, event in enumerate(events) if _begins_life(event)]
        clocks = Clocks(state)  # whose config is that of the last life
        if not beginnings:
            clocks.forget()
        version: int | None = None
        for event in events[beginnings[-1] if beginnings else 0 :]:
            if version is not None and event.version != version + 1:
                clocks.forget()
            version = event.version
            for kind, text in clocks.apply(event):
                self.find(kind, event.place, text)
        self.clocks_checked = clocks.checked
        if state.place > self.last:
            self.find("gap", state.place, "the state has it, and there is no such event")
        elif state.place == self.last:
            for text in clocks.compare_with(state):
                self.find("state", state.place, text)
        elif live:
            self.find("state", self.last, f"the state is at version {state.version} of epoch {state.epoch}")
        due = state.due_ms
        over = 0 if due is None else state.server_time_ms - due
        if live and over > OVERDUE_MS:
            what = "its deadline" if due == state.deadline_ms else "a start, an end or the end of a pause"
            self.find("overdue", state.place, f"{over} ms after {what}")


def _begins_life(event: Event) -> bool:
    return event.name == "session.created" and event.version == 1


def plain(name: str) -> str:
    """A request id or a trace in the form in which both are compared: a UUID without its hyphens."""
    return name.replace("-", "").lower()


_OTHER_CLOCK = "session.arrived"
"""From this event on the times are those of another server."""
_SAME_TIME = frozenset(
    {
        *("cycle.switched", "time.warning", "participant.added", "turn.set"),
        *("session.paused", "session.resumed", "session.scheduled", "metadata.changed"),
    }
)
"""Events that change no clock by hand."""
