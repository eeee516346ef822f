"""A picture of a session, drawn from its events alone: who had the clock when, pauses and expiries.

`follow` turns events into spans and marks, and `draw` makes an SVG of them. drawsvg escapes every text. The
values of attributes are made here and never come from an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import east_asian_width

import msgspec

from synckairos.audit.reading import milliseconds, timestamp

if TYPE_CHECKING:
    import drawsvg

MAX_EVENTS = 2000
"""How many events a picture may have."""
MAX_ROWS = 64
"""How many participants a picture shows. Those who had the clock first are preferred."""

Kind = Literal["running", "paused", "flagged"]
"""`flagged`: the clock ran out, and its owner keeps the turn."""
MarkKind = Literal["expired", "warning", "adjusted", "corrected", "joined", "left"]


class _Participant(msgspec.Struct):
    participant_id: str
    participant_index: int
    group_id: str | None = None
    has_expired: bool = False


class _Group(msgspec.Struct):
    group_id: str
    has_expired: bool = False


class _Payload(msgspec.Struct):
    event: str
    status: str
    active_participant_id: str | None = None
    cycle_started_at: str | None = None
    deadline_ms: int | None = None
    participants: list[_Participant] = []
    groups: list[_Group] = []
    expired_participant_id: str | None = None
    expired_deadline_ms: int | None = None
    expired_clock: str | None = None
    late_ms: int = 0
    warning_ms: int | None = None
    adjusted_ms: int | None = None
    adjust_reason: str | None = None
    removed_participant_id: str | None = None
    turns: int | None = None
    metadata: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    version: int
    server_time_ms: int
    payload: _Payload


@dataclass(frozen=True, slots=True)
class Span:
    """A participant had the turn from `start` to `end` (server ms)."""

    participant_id: str
    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mark:
    """An event of a participant at a moment (server ms), described by `text`."""

    participant_id: str
    kind: MarkKind
    at: int
    text: str


@dataclass(slots=True)
class Timeline:
    """The content of a picture. Times are server ms.

    places: by participant, the place in the rotation
    groups: by participant, the group
    metadata: the session's after the last of these events that changed it; None: none of them did
    outages: begin and end of the times in which no clock ran, because the server had lost the session
    """

    status: str = "pending"
    first_version: int = 0
    last_version: int = 0
    start: int = 0
    end: int = 0
    places: dict[str, int] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    outages: list[tuple[int, int]] = field(default_factory=list)
    metadata: dict[str, Any] | None = None

    def used(self, participant_id: str) -> int:
        """How long (ms) a participant's clock ran."""
        return sum(
            span.end - span.start
            for span in self.spans
            if span.participant_id == participant_id and span.kind == "running"
        )


_decode_event = msgspec.json.Decoder(_Event).decode


class _Follower:
    """Builds a timeline from events. `active`, `kind` and `since` describe the span that is not over yet."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.active: str | None = None
        self.kind: Kind = "running"
        self.since = 0
        self.cycle_start: int | None = None
        self.last = 0
        self.expired: set[str | None] = set()

    def apply(self, event: _Event) -> None:
        """Add the next event."""
        timeline, payload = self.timeline, event.payload
        for each in payload.participants:
            timeline.places[each.participant_id] = each.participant_index
            if each.group_id is not None:
                timeline.groups[each.participant_id] = each.group_id
            self._note_expired(each.participant_id, each.has_expired)
        for group in payload.groups:
            self._note_expired(group.group_id, group.has_expired)
        if not timeline.first_version:
            timeline.first_version = event.version
            timeline.start = event.server_time_ms
        at = self._moment(event)
        if not timeline.spans and (
            payload.event == "session.started" or timeline.status == payload.status == "pending"
        ):
            timeline.start = at  # the picture begins with the session's first start
        if payload.event == "session.recovered":
            at = self._outage(event)
        self._mark(event, at)
        kind = self._kind(payload)
        active = payload.active_participant_id if payload.status in ("running", "paused") else None
        if (active, kind) != (self.active, self.kind) or payload.event in _BOUNDARIES:
            self.close(at)
            self.active, self.kind, self.since = active, kind, at
        if payload.event == "session.recovered":
            self.since = event.server_time_ms
        self.cycle_start = None
        if payload.cycle_started_at is not None:
            self.cycle_start = milliseconds(payload.cycle_started_at)
        timeline.metadata = timeline.metadata if payload.metadata is None else payload.metadata
        timeline.status = payload.status
        timeline.last_version = event.version
        self.last = max(self.last, event.server_time_ms)
        timeline.end = max(timeline.end, at if payload.event in _ENDS else self.last)

    def close(self, at: int) -> None:
        """End the current span."""
        if self.active is not None and at > self.since:
            self.timeline.spans.append(Span(self.active, self.kind, self.since, at))

    def _note_expired(self, owner: str, has_expired: bool) -> None:
        (self.expired.add if has_expired else self.expired.discard)(owner)

    def _kind(self, payload: _Payload) -> Kind:
        if payload.status == "paused":
            return "paused"
        active = payload.active_participant_id
        out = {active, self.timeline.groups.get(active or "")} & self.expired
        flagged = out or self.kind == "flagged" or payload.event == "participant.expired"
        return "flagged" if flagged and payload.deadline_ms is None else "running"

    def _moment(self, event: _Event) -> int:
        """When the change took place: what happened by itself did so when it was due.

        Where a start or the end of a pause was noticed late, the clock runs only from then on.
        """
        payload = event.payload
        moment = event.server_time_ms
        if payload.expired_deadline_ms is not None:
            moment = payload.expired_deadline_ms
            if payload.status == "running" and payload.active_participant_id != self.active:
                moment = milliseconds(payload.cycle_started_at or timestamp(moment))
        elif payload.event == "session.completed" or (
            payload.event in ("session.resumed", "session.started") and payload.late_ms <= _LATE_MS
        ):
            moment -= payload.late_ms
        return max(self.since, min(moment, event.server_time_ms))

    def _outage(self, event: _Event) -> int:
        """Add the outage that a recovery ends. Returns when it began."""
        began, ended = self.last, event.server_time_ms
        after = event.payload.cycle_started_at
        if self.cycle_start is not None and after is not None:
            # The cycle continues with the time that it had run when the outage began.
            ran = ended - milliseconds(after)
            began = max(began, min(ended, self.cycle_start + ran))
        if self.timeline.status != "pending":
            self.timeline.outages.append((began, ended))
        return began

    def _mark(self, event: _Event, at: int) -> None:
        payload = event.payload
        who: str | None = self.active
        kind: MarkKind
        match payload.event:
            case "participant.expired" | "session.expired" | "session.completed" if (
                payload.expired_participant_id is not None
            ):
                who, kind, text = payload.expired_participant_id, "expired", "out of time"
                if payload.expired_clock is not None:
                    text = "the session's time is over"
                at = payload.expired_deadline_ms or at
            case "time.warning":
                kind, text = "warning", f"warned: {duration(payload.warning_ms or 0)} left"
            case "time.adjusted":
                kind, text = "adjusted", _adjustment(payload)
                if len(payload.participants) == 1:
                    who = payload.participants[0].participant_id
            case "turn.taken_back" | "turn.set" | "session.reopened" | "session.reset":
                who, kind, text = payload.active_participant_id or who, "corrected", _correction(payload)
            case "participant.added":
                who, kind, text = payload.participants[0].participant_id, "joined", "joined"
            case "participant.removed":
                who, kind, text = payload.removed_participant_id, "left", "left"
            case _:
                return
        if who is not None:
            self.timeline.marks.append(Mark(who, kind, at, text))


def _adjustment(payload: _Payload) -> str:
    sign = "+" if (payload.adjusted_ms or 0) >= 0 else "-"
    reason = f": {payload.adjust_reason}" if payload.adjust_reason else ""
    return f"adjusted by {sign}{duration(abs(payload.adjusted_ms or 0))}{reason}"


def _correction(payload: _Payload) -> str:
    turns = payload.turns or 1
    return {
        "turn.taken_back": "the last turn was taken back" if turns == 1 else f"{turns} turns were taken back",
        "turn.set": "the turn was set",
        "session.reopened": "the session was reopened",
    }.get(payload.event, "the session was reset")


_BOUNDARIES = frozenset(
    {
        *("session.started", "cycle.switched", "session.recovered"),
        *("turn.taken_back", "turn.set", "session.reopened", "session.reset"),
    }
)
_ENDS = frozenset({"session.expired", "session.completed"})
_LATE_MS = 1000


def follow(events: Iterable[bytes], now: int | None = None) -> Timeline:
    """The timeline of events (JSON, in order). now: until when (server ms) the last span has come."""
    follower = _Follower()
    for text in events:
        follower.apply(_decode_event(text))
    timeline = follower.timeline
    if now is not None and timeline.status in ("running", "paused"):
        timeline.end = max(timeline.end, now)
    follower.close(timeline.end)
    return timeline


def duration(ms: int) -> str:
    """Milliseconds in the shortest form, as in `0.4 s`, `1:05`, `2:00:07`."""
    if ms < 60_000:
        return f"{ms // 1000} s" if ms % 1000 == 0 else f"{ms // 1000}.{ms % 1000 // 100} s"
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


# The picture. Lengths are in pixels.

_WIDTH = 1080
_LEFT, _RIGHT = 168, 128
_TOP = 92
_ROW = 34
_BAR = 20
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_COLOURS = ("#3b73c8", "#d9822b", "#2f9e6e", "#b0559e", "#8a7a2e", "#2a9db5", "#c0504d", "#6f62c9")
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_MOST_TICKS = 11
_CSS = f"""
text {{ font-family: {_FONT}; fill: #333b47; }}
.title {{ font-size: 17px; font-weight: 600; }}
.small {{ font-size: 12px; fill: #6b7480; }}
.name {{ font-size: 13px; font-weight: 600; }}
.paper {{ fill: #ffffff; }}
.stripe {{ fill: #f4f6f9; }}
.grid {{ stroke: #d9dee6; stroke-width: 1; }}
.outage {{ fill: #8a929e; fill-opacity: 0.28; }}
.paused {{ fill-opacity: 0.3; }}
.flagged {{ stroke: #c62828; stroke-width: 1.5; stroke-dasharray: 3 2; fill-opacity: 0.35; }}
.expired {{ fill: #c62828; stroke: #ffffff; stroke-width: 1.2; }}
.warning {{ fill: #e6a700; stroke: #ffffff; stroke-width: 1.2; }}
.adjusted {{ fill: #1c7ed6; stroke: #ffffff; stroke-width: 1.2; }}
.corrected {{ fill: #7048e8; stroke: #ffffff; stroke-width: 1.2; }}
.joined, .left {{ fill: #ffffff; stroke: #52606f; stroke-width: 2; }}
.left {{ fill: #52606f; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e3e8ef; }}
.small {{ fill: #9aa5b3; }}
.paper {{ fill: #171b21; }}
.stripe {{ fill: #1f252d; }}
.grid {{ stroke: #333c47; }}
}}
"""
_WORDS: dict[str, str] = {
    "running": "had the clock",
    "paused": "paused",
    "flagged": "at zero, still to move",
    "outage": "not on the server",
    "expired": "out of time",
    "warning": "warned",
    "adjusted": "clock adjusted",
    "corrected": "corrected by hand",
    "joined": "joined",
    "left": "left",
}
_ROOM_FOR_A_NAME = 14
_CONTROLS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot have."""


_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOST_CHARACTERS = 200
_INVISIBLE = re.compile("[\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]")
"""Characters that cannot be seen, and those that turn the direction of the text around them."""


class Names:
    """What people and the session are called: `names` by id and `title` in the session's metadata.

    The service stores metadata unread, so it may hold anything. What is no text, or empty, is no name.
    """

    def __init__(self, metadata: dict[str, Any]) -> None:
        names = metadata.get("names")
        found = names.items() if isinstance(names, dict) else ()
        self._by_id = {each.lower(): name for each, text in found if (name := _name(text))}
        self.title = _name(metadata.get("title"))

    def of(self, participant_id: str) -> str | None:
        """The name of a participant or group."""
        return self._by_id.get(participant_id.lower())

    def within(self, text: str) -> str:
        """A text with names in place of the ids in it."""
        return _UUID.sub(lambda found: self.of(found[0]) or found[0], text)


def _name(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    return _text(_INVISIBLE.sub(" ", text[:_MOST_CHARACTERS])) or None


def draw(
    timeline: Timeline, session_id: str, newest_version: int, metadata: dict[str, Any] | None = None
) -> bytes:
    """The picture as SVG.

    newest_version: the session's, which may have more events than the picture
    metadata: the session's, where its names are; without it those of the last event that changed it
    """
    return _Picture(timeline, Names(metadata or timeline.metadata or {})).svg(session_id, newest_version)


class _Picture:
    def __init__(self, timeline: Timeline, names: Names) -> None:
        self.timeline = timeline
        self.names = names
        seen = dict.fromkeys(span.participant_id for span in timeline.spans)
        active = sorted(list(seen)[:MAX_ROWS], key=lambda each: timeline.places.get(each, 0))
        others = sorted(timeline.places.keys() - seen.keys(), key=timeline.places.__getitem__)
        self.rows = (active + others[: MAX_ROWS - len(active)]) or [""]
        self.rows.sort(key=lambda each: timeline.places.get(each, 0))
        self.left_out = len(seen.keys() | timeline.places.keys()) - len(self.rows)
        self.row_of = {each: row for row, each in enumerate(self.rows)}
        owners = dict.fromkeys(timeline.groups.get(each, each) for each in self.rows)
        self.colour_of = {owner: _COLOURS[number % len(_COLOURS)] for number, owner in enumerate(owners)}
        self.bottom = _TOP + _ROW * len(self.rows)
        self.width = _WIDTH - _LEFT - _RIGHT
        self.length = max(1, timeline.end - timeline.start)

    def svg(self, session_id: str, newest_version: int) -> bytes:
        import drawsvg  # the import takes a tenth of a second, and few processes ever draw

        self.d = drawsvg
        height = self.bottom + (84 if self.left_out else 56)
        picture = drawsvg.Drawing(_WIDTH, height, id_prefix="t", role="img", lang="en")
        picture.append_css(_CSS)
        picture.append_title(_text(f"Timeline of {self.names.title or f'session {session_id}'}"))
        for part in (
            drawsvg.Rectangle(0, 0, _WIDTH, height, class_="paper"),
            *self._head(session_id, newest_version),
            *self._table(),
            *self._bars(),
            *self._marks(),
            *self._legend(),
        ):
            picture.append(part)
        return str(picture.as_svg()).encode()

    def _x(self, ms: int) -> float:
        share = min(1.0, max(0.0, (ms - self.timeline.start) / self.length))
        return round(_LEFT + self.width * share, 2)

    def _y(self, participant_id: str) -> int:
        return _TOP + _ROW * self.row_of[participant_id]

    def _say(self, text: str, x: float, y: float, kind: str, **more: Any) -> drawsvg.DrawingElement:
        return self.d.Text(_text(text), 12, x, y, class_=kind, **more)

    def _head(self, session_id: str, newest_version: int) -> Iterable[drawsvg.DrawingElement]:
        timeline = self.timeline
        title = self.names.title
        yield self._say(title or f"Session {session_id}", 20, 30, "title")
        parts = [
            *([f"session {session_id}"] if title else []),
            timeline.status,
            f"from {timestamp(timeline.start)}",
            f"{duration(timeline.end - timeline.start)} long",
            f"versions {timeline.first_version} to {timeline.last_version}",
        ]
        if timeline.last_version < newest_version:
            parts[-1] += f" of {newest_version}: the rest with ?since={timeline.last_version}"
        yield self._say("  ·  ".join(parts), 20, 52, "small")

    def _table(self) -> Iterable[drawsvg.DrawingElement]:
        timeline = self.timeline
        for row, each in enumerate(self.rows):
            y = _TOP + _ROW * row
            if row % 2 == 0:
                yield self.d.Rectangle(0, y, _WIDTH, _ROW, class_="stripe")
            if not each:
                continue
            colour = self.colour_of[timeline.groups.get(each, each)]
            yield self.d.Circle(26, y + _ROW / 2, 5, fill=colour)
            place = timeline.places.get(each)
            name = self.names.of(each)
            short = each[:8] if name is None else _cut(name)
            place_and_name = short if place is None or name is not None else f"{place}  {short}"
            label = self._say(place_and_name, 40, y + _ROW / 2 + 4.5, "name")
            group = timeline.groups.get(each)
            full = each if name is None else f"{name} ({each})"
            team = "" if group is None else self.names.of(group) or f"group {group}"
            label.append_title(_text(f"{full}, {team}" if team else full))
            yield label
            used = timeline.used(each)
            if used:
                yield self._say(duration(used), _WIDTH - 20, y + _ROW / 2 + 4.5, "small", text_anchor="end")
        step = next(
            (each for each in _STEPS_S if self.length / 1000 / each <= _MOST_TICKS),
            -(-self.length // (1000 * _MOST_TICKS)),
        )
        for number in range(int(self.length / 1000 / step) + 1):
            x = self._x(timeline.start + 1000 * step * number)
            yield self.d.Line(x, _TOP - 6, x, self.bottom, class_="grid")
            yield self._say(_clock(step * number), x, _TOP - 12, "small", text_anchor="middle")
        yield self._say("used", _WIDTH - 20, _TOP - 12, "small", text_anchor="end")

    def _bars(self) -> Iterable[drawsvg.DrawingElement]:
        timeline = self.timeline
        for start, end in timeline.outages:
            x = self._x(start)
            bar = self.d.Rectangle(
                x, _TOP, max(1.5, round(self._x(end) - x, 2)), self.bottom - _TOP, class_="outage"
            )
            bar.append_title(_text(f"not on the server for {duration(end - start)}; charged to no clock"))
            yield bar
        for span in timeline.spans:
            if span.participant_id not in self.row_of:
                continue
            x = self._x(span.start)
            owner = timeline.groups.get(span.participant_id, span.participant_id)
            bar = self.d.Rectangle(
                x,
                self._y(span.participant_id) + (_ROW - _BAR) / 2,
                # A small gap separates cycles that follow one another in the same row.
                max(0.8, round(self._x(span.end) - x - 0.6, 2)),
                _BAR,
                rx=2,
                fill=self.colour_of[owner],
                class_=span.kind,
            )
            offsets = (span.start - timeline.start, span.end - timeline.start)
            began, ended = (duration(max(0, each)) for each in offsets)
            bar.append_title(
                _text(f"{_WORDS[span.kind]} for {duration(span.end - span.start)}, from {began} to {ended}")
            )
            yield bar

    def _marks(self) -> Iterable[drawsvg.DrawingElement]:
        for mark in self.timeline.marks:
            if mark.participant_id not in self.row_of:
                continue
            shape = self._shape(mark.kind, self._x(mark.at), self._y(mark.participant_id) + _ROW / 2)
            shape.append_title(
                _text(f"{self.names.within(mark.text)}, at {duration(max(0, mark.at - self.timeline.start))}")
            )
            yield shape

    def _shape(self, kind: str, x: float, y: float) -> drawsvg.DrawingElement:
        """The symbol of a kind of mark, around a point."""
        match kind:
            case "expired":  # a flag that fell
                corners = (x - 6, y - 13, x + 6, y - 13, x, y - 1)
                return self.d.Lines(*corners, close=True, class_=kind)
            case "warning":
                corners = (x - 4.5, y + 12, x + 4.5, y + 12, x, y + 4)
                return self.d.Lines(*corners, close=True, class_=kind)
            case "adjusted" | "corrected":
                return self.d.Lines(x, y - 6, x + 6, y, x, y + 6, x - 6, y, close=True, class_=kind)
            case _:
                return self.d.Circle(x, y, 4.5, class_=kind)

    def _legend(self) -> Iterable[drawsvg.DrawingElement]:
        """The explanation of the symbols that the picture has."""
        timeline = self.timeline
        there = {span.kind for span in timeline.spans} | {mark.kind for mark in timeline.marks}
        kinds: Sequence[str] = [
            kind for kind in _WORDS if kind in there or (kind == "outage" and timeline.outages)
        ]
        x, y = _LEFT, self.bottom + 30
        for kind in kinds:
            if kind in ("running", "paused", "flagged", "outage"):
                fill = {} if kind == "outage" else {"fill": _COLOURS[0]}
                yield self.d.Rectangle(x - 7, y - 7, 14, 14, rx=2, class_=kind, **fill)
            else:
                yield self._shape(kind, x, y + {"expired": 7, "warning": -8}.get(kind, 0))
            yield self._say(_WORDS[kind], x + 14, y + 4.5, "small")
            x += 36 + 7 * len(_WORDS[kind])
        if self.left_out:
            more = f"and {self.left_out} more participants"
            yield self._say(more, 20, self.bottom + 60, "small")


def _clock(seconds: int) -> str:
    """A label of the time axis, as in `0:05`, `1:02:00`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _cut(name: str) -> str:
    """A name as long as there is room for beside the bars. Wide characters take twice the room."""
    room = _ROOM_FOR_A_NAME
    for at, each in enumerate(name):
        room -= 2 if east_asian_width(each) in "WF" else 1
        if room < 0:
            return f"{name[: at - 1]}\N{HORIZONTAL ELLIPSIS}"
    return name


def _text(text: str) -> str:
    """Text in one line, without characters that XML cannot have."""
    return " ".join(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text).split())
