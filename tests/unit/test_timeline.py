"""The picture of a session: what its events say about who had the clock when, and how that is drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from synckairos.audit.reading import timestamp
from synckairos.audit.timeline import MAX_ROWS, Mark, Span, draw, duration, follow

START = 1_800_000_000_000
SESSION = "5e550000-0000-4000-8000-0000000000ab"
A, B, C = (f"a0000000-0000-4000-8000-00000000000{n}" for n in "abc")
SVG = "{http://www.w3.org/2000/svg}"

Json = dict[str, Any]


class Story:
    """Events, told in seconds from the start."""

    def __init__(self, *people: str, groups: tuple[str, ...] = ()) -> None:
        self.events: list[bytes] = []
        self.version = 0
        self.people = [
            {
                "participant_id": each,
                "participant_index": place,
                "group_id": groups[place] if groups else None,
            }
            for place, each in enumerate(people)
        ]
        self.tell(0, "session.created", "pending", None, participants=self.people)

    def tell(
        self, at: float, event: str, status: str, active: str | None, cycle: float | None = None, **more: Any
    ) -> None:
        """One more event; `cycle`: when the cycle started, pauses left out."""
        self.version += 1
        payload = {
            "event": event,
            "status": status,
            "active_participant_id": active,
            "cycle_started_at": None if cycle is None else timestamp(START + round(1000 * cycle)),
            "deadline_ms": START + 60_000 if status == "running" else None,
            "participants": [],
            "groups": [],
            **more,
        }
        text = {"version": self.version, "server_time_ms": START + round(1000 * at), "payload": payload}
        self.events.append(json.dumps(text).encode())

    def spans(self, now: float | None = None) -> list[tuple[str, str, float, float]]:
        timeline = follow(self.events, None if now is None else START + round(1000 * now))
        return [
            (span.participant_id, span.kind, (span.start - START) / 1000, (span.end - START) / 1000)
            for span in timeline.spans
        ]


def test_cycles_pauses_and_the_end() -> None:
    story = Story(A, B)
    story.tell(2, "session.started", "running", A, 2)
    story.tell(5, "cycle.switched", "running", B, 5)
    story.tell(6, "session.paused", "paused", B)
    story.tell(10, "session.resumed", "running", B, 9)
    story.tell(12, "session.completed", "completed", None)
    assert story.spans() == [
        (A, "running", 2, 5),
        (B, "running", 5, 6),
        (B, "paused", 6, 10),
        (B, "running", 10, 12),
    ]
    timeline = follow(story.events)
    assert (timeline.start, timeline.end) == (START + 2000, START + 12_000)
    assert (timeline.used(A), timeline.used(B)) == (3000, 3000)
    assert timeline.places == {A: 0, B: 1}


def test_a_cycle_that_still_runs_ends_now() -> None:
    story = Story(A)
    story.tell(0, "session.started", "running", A, 0)
    assert story.spans() == []
    assert story.spans(now=7) == [(A, "running", 0, 7)]
    story.tell(9, "session.cancelled", "cancelled", None)
    assert story.spans(now=20) == [(A, "running", 0, 9)]


def test_a_timeout_ends_a_cycle_when_it_was_due() -> None:
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    due: Json = {"expired_participant_id": A, "expired_deadline_ms": START + 5000, "late_ms": 300}
    story.tell(5.3, "participant.expired", "running", B, 5, **due)
    story.tell(9, "session.expired", "expired", None, **due | {"expired_deadline_ms": START + 8900})
    assert story.spans() == [(A, "running", 0, 5), (B, "running", 5, 8.9)]
    assert follow(story.events).end == START + 8900
    assert follow(story.events).marks == [
        Mark(A, "expired", START + 5000, "out of time"),
        Mark(A, "expired", START + 8900, "out of time"),
    ]


@pytest.mark.parametrize(("at", "late"), [(2.4, 400), (9, 7000)])
def test_what_starts_and_ends_by_itself_does_so_when_it_was_due(at: float, late: int) -> None:
    """A start that is noticed more than a second late lets the clock run only from then on."""
    story = Story(A)
    begins = 2 if late <= 1000 else at
    story.tell(at, "session.started", "running", A, begins, late_ms=late)
    story.tell(20.5, "session.completed", "completed", None, late_ms=500)
    assert story.spans() == [(A, "running", begins, 20)]
    timeline = follow(story.events)
    assert (timeline.start, timeline.end) == (START + round(1000 * begins), START + 20_000)
    assert timeline.marks == []


def test_the_timeout_that_ends_the_last_of_a_number_of_cycles() -> None:
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    due: Json = {"expired_participant_id": A, "expired_deadline_ms": START + 5000, "late_ms": 300}
    story.tell(5.3, "session.completed", "completed", None, **due)
    assert story.spans() == [(A, "running", 0, 5)]
    assert follow(story.events).end == START + 5000
    assert follow(story.events).marks == [Mark(A, "expired", START + 5000, "out of time")]


def test_a_timeout_that_was_noticed_late_gives_the_next_one_a_whole_cycle() -> None:
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    due = {"expired_participant_id": A, "expired_deadline_ms": START + 5000, "late_ms": 4000}
    story.tell(9, "participant.expired", "running", B, 9, **due)
    assert story.spans(now=10) == [(A, "running", 0, 9), (B, "running", 9, 10)]


def test_a_clock_that_stands_at_zero() -> None:
    out = [{"participant_id": A, "participant_index": 0, "has_expired": True}]
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    due: Json = {"expired_participant_id": A, "expired_deadline_ms": START + 5000, "deadline_ms": None}
    story.tell(5, "participant.expired", "running", A, 0, participants=out, **due)
    story.tell(7, "cycle.switched", "running", B, 7)
    story.tell(8, "cycle.switched", "running", A, 8, deadline_ms=None)
    given = [{**out[0], "has_expired": False}]
    story.tell(9, "time.adjusted", "running", A, 8, participants=given, adjusted_ms=500, adjust_reason="ok")
    story.tell(9.5, "session.completed", "completed", None)
    assert story.spans() == [
        (A, "running", 0, 5),
        (A, "flagged", 5, 7),
        (B, "running", 7, 8),
        (A, "flagged", 8, 9),
        (A, "running", 9, 9.5),
    ]
    assert follow(story.events).marks[1:] == [Mark(A, "adjusted", START + 9000, "adjusted by +0.5 s: ok")]


def test_an_outage_is_nobodys() -> None:
    """The cycle had run for 4 s when it was last seen; it came back at 30 s and goes on with those 4 s."""
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    story.tell(30, "session.recovered", "running", A, 26)
    story.tell(33, "cycle.switched", "running", B, 33)
    assert story.spans() == [(A, "running", 0, 4), (A, "running", 30, 33)]
    assert follow(story.events).outages == [(START + 4000, START + 30_000)]


def test_an_outage_in_a_pause() -> None:
    story = Story(A)
    story.tell(0, "session.started", "running", A, 0)
    story.tell(3, "session.paused", "paused", A)
    story.tell(20, "session.recovered", "paused", A)
    story.tell(25, "session.resumed", "running", A, 22)
    assert story.spans(now=26) == [(A, "running", 0, 3), (A, "paused", 20, 25), (A, "running", 25, 26)]
    assert follow(story.events).outages == [(START + 3000, START + 20_000)]


def test_marks() -> None:
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    story.tell(1, "time.warning", "running", A, 0, warning_ms=10_000)
    story.tell(
        2, "participant.added", "running", A, 0, participants=[{"participant_id": C, "participant_index": 2}]
    )
    story.tell(3, "participant.removed", "running", A, 0, removed_participant_id=B)
    story.tell(4, "time.adjusted", "running", A, 0, adjusted_ms=-61_000)
    assert [(mark.participant_id, mark.kind, mark.text) for mark in follow(story.events).marks] == [
        (A, "warning", "warned: 10 s left"),
        (C, "joined", "joined"),
        (B, "left", "left"),
        (A, "adjusted", "adjusted by -1:01"),
    ]
    assert follow(story.events).spans == [Span(A, "running", START, START + 4000)]


def test_corrections_begin_a_turn_anew_and_are_marked() -> None:
    story = Story(A, B)
    story.tell(0, "session.started", "running", A, 0)
    story.tell(4, "cycle.switched", "running", B, 4)
    story.tell(6, "turn.taken_back", "running", A, 6, turns=1)
    story.tell(7, "session.paused", "paused", A)
    story.tell(8, "turn.set", "paused", B)
    story.tell(9, "session.completed", "completed", None)
    story.tell(12, "session.reopened", "paused", B)
    story.tell(13, "session.resumed", "running", B, 13)
    story.tell(15, "session.reset", "pending", None)
    story.tell(20, "session.started", "running", A, 20)
    assert story.spans(now=22) == [
        *((A, "running", 0, 4), (B, "running", 4, 6), (A, "running", 6, 7), (A, "paused", 7, 8)),
        *((B, "paused", 8, 9), (B, "paused", 12, 13), (B, "running", 13, 15), (A, "running", 20, 22)),
    ]
    timeline = follow(story.events)
    assert timeline.start == START, "what was before the reset is shown, too"
    assert [(mark.participant_id, mark.kind, mark.text) for mark in timeline.marks] == [
        (A, "corrected", "the last turn was taken back"),
        (B, "corrected", "the turn was set"),
        (B, "corrected", "the session was reopened"),
        (B, "corrected", "the session was reset"),
    ]
    assert b"corrected by hand" in draw(timeline, SESSION, timeline.last_version)


def test_what_happens_by_itself_happens_when_it_was_due() -> None:
    story = Story(A, B)
    story.tell(10.4, "session.started", "running", A, 10, late_ms=400)
    story.tell(30.02, "session.completed", "completed", None, late_ms=20)
    assert story.spans() == [(A, "running", 10, 30)]
    assert follow(story.events).start == START + 10_000


def test_events_in_the_middle_of_a_session_will_do() -> None:
    story = Story(A, B)
    story.tell(1, "session.started", "running", A, 1)
    story.tell(4, "cycle.switched", "running", B, 4)
    story.tell(6, "cycle.switched", "running", A, 6)
    story.events = story.events[2:]
    timeline = follow(story.events)
    assert (timeline.first_version, timeline.last_version) == (3, 4)
    assert story.spans() == [(B, "running", 4, 6)]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (400, "0.4 s"),
        (59_999, "59.9 s"),
        (60_000, "1:00"),
        (65_400, "1:05"),
        (7_207_000, "2:00:07"),
    ],
)
def test_durations(ms: int, text: str) -> None:
    assert duration(ms) == text


# The picture


def picture(story: Story, newest: int = 0) -> ET.Element:
    return ET.fromstring(draw(follow(story.events, START + 20_000), SESSION, newest or story.version))


def texts(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter() if each.tag in (f"{SVG}text", f"{SVG}title")]


def test_every_text_is_escaped() -> None:
    story = Story(A)
    story.tell(0, "session.started", "running", A, 0)
    evil = '</title><script>alert("1")</script>&amp;\x00\x1b\ufffe'
    story.tell(1, "time.adjusted", "running", A, 0, adjusted_ms=5, adjust_reason=evil)
    root = picture(story)
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "style", "defs", "title", "rect", "circle", "line", "path", "text"
    }  # fmt: skip
    [said] = [text for text in texts(root) if "script" in text]
    assert said.startswith('adjusted by +0.0 s: </title><script>alert("1")</script>&amp;')


def test_ids_go_nowhere_but_into_text() -> None:
    evil = 'x" onload="alert(1)'
    story = Story(evil, groups=(evil,))
    story.tell(0, "session.started", "running", evil, 0)
    root = picture(story)
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]
    assert any(evil in text for text in texts(root))


def test_rows_stand_in_the_order_of_the_rotation() -> None:
    story = Story(A, B, C)
    story.tell(0, "session.started", "running", C, 0)
    story.tell(5, "cycle.switched", "running", A, 5)
    names = [each for each in texts(picture(story)) if each.endswith("a0000000")]
    assert names == ["0 a0000000", "1 a0000000", "2 a0000000"]


def test_names_stand_in_place_of_ids() -> None:
    story = Story(A, B, C, groups=("f" * 8, "f" * 8, "f" * 8))
    story.tell(0, "session.started", "running", A, 0)
    story.tell(
        2, "time.adjusted", "running", A, 0, adjusted_ms=5000, adjust_reason=f"asked by {B.upper()}, {C}"
    )
    metadata = {
        "title": " Club\u202e night ",
        "names": {A: "Anna Maria Magdalena", B: "Ben", "f" * 8: "The Owls", C: 7},
    }
    drawn = draw(follow(story.events, START + 20_000), SESSION, 3, metadata)
    said = texts(ET.fromstring(drawn))
    assert {"Timeline of Club night", "Club night", "Anna Maria Ma\u2026", "Ben", "2 a0000000"} <= set(said)
    assert f"Anna Maria Magdalena ({A}), The Owls" in said
    assert any(f"session {SESSION}" in text for text in said), (
        "the id is still there for whoever looks for it"
    )
    assert any(text.startswith(f"adjusted by +5 s: asked by Ben, {C}") for text in said)
    # What changed the metadata among the events says the names, where nobody else does.
    story.tell(3, "metadata.changed", "running", A, 0, metadata={"names": {A: "Anja"}, "title": 5})
    said = texts(picture(story))
    assert "Anja" in said
    assert f"Session {SESSION}" in said
    for odd in ({"names": [A]}, {"names": None, "title": "  "}, {"names": {A: ""}}):
        assert f"Session {SESSION}" in texts(ET.fromstring(draw(follow(story.events), SESSION, 3, odd)))


def test_it_says_what_is_missing() -> None:
    story = Story(*(f"{n:08x}-0000-4000-8000-000000000000" for n in range(MAX_ROWS + 36)))
    story.people = []
    story.tell(0, "session.started", "running", "00000000-0000-4000-8000-000000000000", 0)
    said = texts(picture(story, newest=90))
    assert "and 36 more participants" in said
    assert any("versions 1 to 2 of 90: the rest with ?since=2" in text for text in said)


def test_one_that_never_started() -> None:
    said = texts(picture(Story(A, B)))
    assert any(text.startswith("pending") for text in said)


def test_nothing_at_all() -> None:
    assert ET.fromstring(draw(follow([]), SESSION, 0)).tag == f"{SVG}svg"
