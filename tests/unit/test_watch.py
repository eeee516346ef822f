"""What `synckairos watch` says and draws: times, names, events, and pictures of any size."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from synckairos.client import Change, ClockFace, Group, Participant, Payload, State, TimeControl
from synckairos.watch import screen, words

ANNA = "aaaaaaaa-0000-4000-8000-000000000001"
BEN = "bbbbbbbb-0000-4000-8000-000000000002"
SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SIZES = [(80, 24), (120, 40), (200, 20), (40, 12), (20, 6), (8, 3)]


# --- words


@pytest.mark.parametrize(
    ("ms", "down", "up"),
    [
        (0, "0:00", "0:00"),
        (1, "0:00.1", "0:00"),
        (9_900, "0:09.9", "0:09"),
        (9_901, "0:10", "0:09"),
        (10_000, "0:10", "0:10"),
        (10_001, "0:11", "0:10"),
        (59_001, "1:00", "0:59"),
        (3_599_999, "1:00:00", "59:59"),
        (3_909_000, "1:05:09", "1:05:09"),
        (86_399_001, "1 d 00:00:00", "23:59:59"),
        (273_906_000, "3 d 04:05:06", "3 d 04:05:06"),
        (366 * 86_400_000, "366 d 00:00:00", "366 d 00:00:00"),
        (-1, "0:00", "-0:01"),
        (-3_000, "-0:03", "-0:03"),
        (None, "-:--", "-:--"),
    ],
)
def test_a_countdown_is_rounded_up_and_what_counts_up_down(ms: float | None, down: str, up: str) -> None:
    assert words.clock(ms) == down
    assert words.clock(ms, count_up=True) == up


@given(ms=st.integers(-100_000, 4_000_000), part=st.floats(0, 0.999))
def test_a_countdown_is_right_until_it_says_so_and_not_longer(ms: int, part: float) -> None:
    wait = words.until_next(ms)
    assert wait > 0
    assert words.clock(ms - math.floor(wait * part)) == words.clock(ms)
    if not -1000 <= ms <= 0:  # there is no -0:00
        assert words.clock(ms - wait) != words.clock(ms)


@given(ms=st.integers(0, 4_000_000), part=st.floats(0, 0.999))
def test_what_counts_up_is_right_until_it_says_so_and_not_longer(ms: int, part: float) -> None:
    wait = words.until_next(ms, count_up=True)
    assert words.clock(ms + math.floor(wait * part), count_up=True) == words.clock(ms, count_up=True)
    assert words.clock(ms + wait, count_up=True) != words.clock(ms, count_up=True)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (2_500, "2.5 s"),
        (60_000, "1 min"),
        (5_400_000, "1 h 30 min"),
        (90_000, "1 min 30 s"),
        (-15_000, "-15 s"),
        (302_400_000, "3 days 12 h"),
        (86_400_000, "1 day"),
    ],
)
def test_a_duration_in_words(ms: int, text: str) -> None:
    assert words.duration(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(math.inf, "time not known yet"), (0.4, "± 0.4 ms"), (264, "± 264 ms"), (1_500, "± 1.5 s")],
)
def test_the_uncertainty_is_told(ms: float, text: str) -> None:
    assert words.uncertainty(ms) == text


def player(participant_id: str = ANNA, **fields: Any) -> Participant:
    return Participant(
        **{
            "participant_id": participant_id,
            "participant_index": 0 if participant_id == ANNA else 1,
            "total_time_ms": 300_000,
            "time_remaining_ms": 300_000,
            **fields,
        }
    )


def state(status: str = "running", **fields: Any) -> State:
    active = ANNA if status in ("running", "paused") else None
    return State(
        **{
            "session_id": SESSION,
            "version": 7,
            "epoch": "1",
            "status": status,
            "server_time_ms": 1_000_000,
            "participants": (player(ANNA, is_active=active is not None), player(BEN)),
            "active_participant_id": active,
            **fields,
        }
    )


NAMES = {"title": "Club night", "names": {ANNA: "Anna", BEN: "Ben"}}


def test_names_come_from_the_metadata_and_are_made_up_otherwise() -> None:
    named = state(metadata=NAMES)
    assert [words.name(named, each) for each in (ANNA, BEN)] == ["Anna", "Ben"]
    assert words.title(named) == "Club night"
    nameless = state()
    assert [words.name(nameless, each) for each in (ANNA, BEN, SESSION, None)] == [
        "Player 1",
        "Player 2",
        "7c9e6679",
        "nobody",
    ]
    assert words.title(nameless) == "Session 7c9e6679"
    assert words.title(state(metadata={"names": NAMES["names"]})) == "Anna - Ben"
    teams = state(groups=(Group(group_id=SESSION),))
    assert words.name(teams, SESSION) == "Team 1"


@pytest.mark.parametrize(
    "metadata", [{"names": 7, "title": 7}, {"names": {ANNA: 7}, "title": " \x1b "}, {"names": []}]
)
def test_metadata_may_be_anything(metadata: dict[str, Any]) -> None:
    found = state(metadata=metadata)
    assert words.name(found, ANNA) == "Player 1"
    assert words.title(found) == "Session 7c9e6679"


@pytest.mark.parametrize(
    ("control", "text"),
    [
        (TimeControl(kind="fischer", notation="5+3"), "5+3"),
        (TimeControl(kind="fischer", increment_ms=2_000), "+2 s a turn"),
        (TimeControl(kind="fischer", increment_ms=0), "sudden death"),
        (TimeControl(kind="delay", delay_ms=5_000), "delay 5 s"),
        (TimeControl(kind="bronstein", delay_ms=5_000), "bronstein 5 s"),
        (TimeControl(kind="byoyomi", periods=3, period_ms=10_000), "byo-yomi 3 x 10 s"),
        (
            TimeControl(kind="byoyomi", periods=3, period_ms=10_000, increment_ms=2_000),
            "+2 s a turn, then byo-yomi 3 x 10 s",
        ),
        (TimeControl(kind="canadian", moves=25, period_ms=300_000), "25 moves in 5 min"),
        (
            TimeControl(
                kind="stages",
                stages=(TimeControl(moves=40, time_ms=7_200_000), TimeControl(time_ms=1_800_000)),
            ),
            "40 moves in 2 h, then 30 min",
        ),
        (
            TimeControl(
                kind="stages",
                stages=(TimeControl(moves=40, time_ms=7_200_000), TimeControl(moves=20, time_ms=1_800_000)),
                repeat=True,
            ),
            "40 moves in 2 h, then every 20 moves in 30 min",
        ),
        (
            TimeControl(
                kind="stages",
                stages=(TimeControl(moves=1, time_ms=259_200_000),),
                repeat=True,
                notation="1/4320.0",
            ),
            "every move in 3 days",
        ),
        (
            TimeControl(
                kind="stages",
                stages=(TimeControl(moves=40, time_ms=7_200_000),),
                repeat=True,
                notation="40/120",
            ),
            "40/120",
        ),
        (TimeControl(kind="none"), "no limit"),
        (TimeControl(kind="hourglass"), "hourglass"),
    ],
)
def test_the_time_control_in_a_few_words(control: TimeControl, text: str) -> None:
    assert words.control(state(time_control=control)) == text


def change(event: str, *, server_time_ms: int = 1_000_000, **fields: Any) -> Change:
    return Change(
        type="STATE_UPDATE",
        session_id=SESSION,
        version=8,
        epoch="1",
        server_time_ms=server_time_ms,
        payload=Payload(**{"event": event, "status": "running", **fields}),
    )


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (change("session.created"), "created"),
        (change("session.started", active_participant_id=ANNA), "started: Anna's turn"),
        (change("cycle.switched", active_participant_id=BEN, actor="eve"), "Ben's turn (by eve)"),
        (change("session.paused"), "paused"),
        (change("session.paused", counted=False), "paused; it does not count"),
        (change("session.resumed", active_participant_id=BEN), "resumed: Ben's turn"),
        (
            change("participant.expired", expired_participant_id=ANNA, active_participant_id=BEN, late_ms=3),
            "Anna ran out of time; Ben's turn (3 ms late)",
        ),
        (
            change(
                "session.expired",
                status="expired",
                expired_participant_id=ANNA,
                action_applied={"winner": BEN},
            ),
            "Anna ran out of time; Ben wins",
        ),
        (change("session.expired", status="expired"), "time ran out; the session is over"),
        (change("session.completed"), "completed"),
        (change("session.cancelled"), "cancelled"),
        (change("session.deleted", reason="deleted"), "deleted"),
        (change("session.deleted", reason="ttl_expired"), "aged out"),
        (change("session.deleted", reason="evicted"), "gone: the server has lost it"),
        (change("session.completed", reason="auto"), "completed: its end has come"),
        (
            change("session.started", reason="auto", active_participant_id=BEN),
            "started by itself: Ben's turn",
        ),
        (change("session.reopened", active_participant_id=BEN), "reopened: Ben's turn, paused"),
        (change("session.reopened", status="pending"), "reopened: not started"),
        (change("session.reset", status="pending"), "reset: all clocks as at the beginning"),
        (
            change("session.scheduled", starts_at_ms=1_800_000_000_000, ends_at_ms=1_800_000_060_000),
            "starts at 2027-01-15 08:00:00, ends at 2027-01-15 08:01:00",
        ),
        (change("session.scheduled", starts_at_ms=0), "starts at 1970-01-01 00:00:00"),
        (change("session.scheduled"), "no start and no end of its own any more"),
        (
            change("turn.taken_back", turns=1, active_participant_id=ANNA),
            "1 turn taken back: Anna's turn",
        ),
        (
            change("turn.taken_back", turns=3, active_participant_id=ANNA),
            "3 turns taken back: Anna's turn",
        ),
        (change("turn.set", active_participant_id=BEN), "set by hand: Ben's turn"),
        (change("turn.set", status="pending", active_participant_id=BEN), "Ben will begin"),
        (change("metadata.changed", metadata={"title": "x"}), "title, names or other data changed"),
        (change("session.recovered"), "restored after the server lost it"),
        (change("participant.added", participants=(player(BEN),)), "Ben joined"),
        (change("participant.removed", removed_participant_id=BEN), "Ben left"),
        (change("participant.removed", removed_participant_id=SESSION), "7c9e6679 left"),
        (
            change(
                "time.adjusted",
                participants=(player(),),
                adjusted_ms=15_000,
                adjust_reason="the light\x1b[2J",
            ),
            "+15 s for Anna: the light [2J",
        ),
        (change("time.adjusted", adjusted_ms=-1_500), "-1.5 s"),
        (change("time.warning", active_participant_id=ANNA, warning_ms=30_000), "30 s left for Anna"),
        (change("time.warning", active_participant_id=ANNA, warning_ms=0), "overtime begins for Anna"),
        (
            change("time.warning", active_participant_id=ANNA, warning_ms=-2_000),
            "2 s of overtime used for Anna",
        ),
        (change("state.synced"), "some events were missed; this is the state now"),
        (change("of a newer service"), "of a newer service"),
    ],
)
def test_an_event_in_a_few_words(happened: Change, text: str) -> None:
    assert words.event(happened, state(metadata=NAMES)) == text


def test_an_adjust_of_the_total_says_so() -> None:
    cycles = state(sync_mode="global", time_per_cycle_ms=10_000)
    before = change("cycle.switched", total_remaining_ms=60_000)

    def said(adjusted_ms: int, total_ms: int) -> str:
        left = {"adjusted_ms": adjusted_ms, "total_remaining_ms": total_ms}
        return words.event(change("time.adjusted", server_time_ms=1_005_000, **left), cycles, before)

    assert said(30_000, 85_000) == "+30 s for the whole session"
    assert said(-50_000, 5_000) == "-50 s for the whole session"
    assert said(30_000, 55_000) == "+30 s"
    assert said(0, 55_000) == "+0 s"


# --- faces


def face(**fields: Any) -> ClockFace:
    return ClockFace(
        **{
            "owner_id": ANNA,
            "kind": "fischer",
            "running": True,
            "expired": False,
            "remaining_ms": 300_000.0,
            "main_ms": 300_000.0,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("clock", "shown"),
    [
        (face(), ("5:00", "", "calm", 1000)),
        (face(remaining_ms=19_500.0, main_ms=19_500.0), ("0:20", "", "warn", 500)),
        (face(remaining_ms=9_550.0, main_ms=9_550.0), ("0:09.6", "", "urgent", 50)),
        (face(remaining_ms=9_550.0, main_ms=9_550.0, running=False), ("0:09.6", "", "urgent", math.inf)),
        (
            face(remaining_ms=0.0, main_ms=0.0, running=False, expired=True),
            ("0:00", "out of time", "out", math.inf),
        ),
        (
            face(remaining_ms=303_500.0, delay_ms=3_500.0, kind="delay"),
            ("5:00", "delay 0:03.5", "calm", 100),
        ),
        (
            face(remaining_ms=305_000.0, delay_ms=5_000.0, running=False),
            ("5:00", "delay 5 s", "calm", math.inf),
        ),
        (
            face(remaining_ms=330_000.0, periods_left=3, period_ms=10_000, period_remaining_ms=10_000.0),
            ("5:00", "then 3 x 10 s", "calm", 1000),
        ),
        (
            face(
                remaining_ms=24_500.0,
                main_ms=0.0,
                periods_left=3,
                period_ms=10_000,
                period_remaining_ms=4_500.0,
            ),
            ("0:04.5", "3 periods left", "calm", 100),
        ),
        (
            face(
                remaining_ms=4_500.0,
                main_ms=0.0,
                periods_left=1,
                period_ms=10_000,
                period_remaining_ms=4_500.0,
            ),
            ("0:04.5", "last period", "urgent", 100),
        ),
        (
            face(remaining_ms=360_000.0, main_ms=60_000.0, block_remaining_ms=300_000.0, moves_left=25),
            ("1:00", "then 25 moves in 5:00", "calm", 1000),
        ),
        (
            face(remaining_ms=200_000.0, main_ms=0.0, block_remaining_ms=200_000.0, moves_left=1),
            ("3:20", "1 move to make", "calm", 1000),
        ),
        (face(stage=0, moves_left=40), ("5:00", "40 moves to the next stage", "calm", 1000)),
        (
            face(remaining_ms=-2_500.0, main_ms=-2_500.0, overtime_ms=2_500.0),
            ("-0:02", "overtime", "urgent", 500),
        ),
        (face(kind="none", remaining_ms=None, main_ms=None), ("1:02", "", "calm", 500)),
        (None, ("-:--", "", "calm", math.inf)),
    ],
)
def test_a_clock_face_comes_to_one_number_a_note_and_how_serious_it_is(
    clock: ClockFace | None, shown: tuple[str, str, str, float]
) -> None:
    found = screen.face(state(), clock, 62_500.0)
    assert (found.text, found.note, found.level, found.right_for_ms) == shown


def test_warnings_of_the_session_say_when_a_clock_is_short_of_time() -> None:
    clock = face(remaining_ms=45_000.0, main_ms=45_000.0)
    assert screen.face(state(), clock, 0).level == "calm"
    assert screen.face(state(warnings_ms=(60_000, 10_000)), clock, 0).level == "warn"


def test_a_warning_at_zero_is_a_bell_and_makes_no_clock_short_of_time() -> None:
    clock = face(remaining_ms=15_000.0, main_ms=15_000.0)
    assert screen.face(state(warnings_ms=(0, -5000)), clock, 0).level == "warn"


def test_a_clock_shows_the_end_of_the_session_where_that_comes_first() -> None:
    clock = face(remaining_ms=90_000.0, main_ms=90_000.0, ends_in_ms=90_000.0, ends_first=True, running=False)
    shown = screen.face(state("paused"), clock, 0)
    assert (shown.text, shown.note, shown.right_for_ms) == ("1:30", screen.UNTIL_END, 1000.0)


# --- pictures


class Clocks:
    """The clocks of a state, as they are; who was asked for is kept."""

    def __init__(self, of: State, current: ClockFace | None = None) -> None:
        self.asked: list[str | None] = []
        self._state = of
        self._current = current

    def clock(self, owner: str | None = None) -> ClockFace | None:
        self.asked.append(owner)
        if owner is None:
            return self._current
        running = owner == self._state.active_participant_id and self._state.status == "running"
        return face(owner_id=owner, running=running)

    def elapsed(self, owner: str | None = None) -> float | None:
        return 61_000.0


def view(of: State, changes: Sequence[str] = (), **fields: Any) -> screen.View:
    return screen.View(
        **{
            "state": of,
            "clocks": Clocks(of, face() if of.is_live else None),
            "connection": "live",
            "now_ms": 1_000_000.0,
            "uncertainty_ms": 0.4,
            "changes": [Text(line) for line in changes],
            **fields,
        }
    )


def picture(drawn: screen.View, width: int = 80, height: int = 24) -> list[str]:
    """The lines, checked to fit."""
    lines = rendered(drawn, width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    return lines


def rendered(drawn: screen.View, width: int, height: int) -> str:
    console = Console(width=width, height=height, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(screen.draw(drawn, width, height)[0])
    return captured.get()


def crowd(count: int, active: int) -> State:
    people = tuple(
        player(f"00000000-0000-4000-8000-{place:012x}", participant_index=place, is_active=place == active)
        for place in range(count)
    )
    return state(participants=people, active_participant_id=people[active].participant_id)


TEAMS = state(
    sync_mode="per_group",
    groups=(Group(group_id=SESSION, is_active=True), Group(group_id=ANNA[:-1] + "9")),
    active_group_id=SESSION,
    metadata={"names": {SESSION: "Red", ANNA: "Anna"}},
)
STATES = [
    state(metadata=NAMES),
    state("pending"),
    state("paused", resumes_at_ms=1_062_000),
    state("expired"),
    state("of a newer service"),
    state(sync_mode="global", total_time_ms=60_000),
    state(sync_mode="count_up"),
    state(participants=()),
    state(metadata={"title": "日本" * 60, "names": {ANNA: "棋" * 60, BEN: "x" * 300}}),
    state(recovered=True, warning="restored " * 30),
    TEAMS,
    crowd(1000, 500),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("of", STATES)
def test_a_picture_fits_every_terminal(of: State, size: tuple[int, int]) -> None:
    from rich.cells import cell_len

    lines = rendered(view(of, ["news " * 40] * 50, notice="attention " * 30), *size).splitlines()
    assert len(lines) <= size[1]
    assert max(map(cell_len, lines)) <= size[0]


def test_a_game_is_seen_at_a_glance() -> None:
    lines = picture(view(state(metadata=NAMES), ["12:00:00.000  Anna's turn"]))
    assert lines[0].startswith("Club night")
    assert lines[0].endswith("running")
    assert sum("█" in line for line in lines) == 5
    assert [line.split()[:3] for line in lines if line.startswith((">", "   Ben"))] == [
        [">", "Anna", "5:00"],
        ["Ben", "5:00", "1:01"],
    ]
    assert any("Anna's turn" in line for line in lines)
    assert lines[-1].startswith("live  ± 0.4 ms")
    assert lines[-1].endswith("Ctrl-C ends")


def test_of_a_thousand_the_active_one_and_its_neighbours_are_seen_and_only_they_are_asked() -> None:
    of = crowd(1000, 500)
    drawn = view(of)
    lines = picture(drawn)
    assert any(line.startswith(">  Player 501 ") for line in lines)
    assert any("Player 500 " in line for line in lines)
    assert any("Player 502 " in line for line in lines)
    assert any("of 1,000" in line for line in lines)
    assert isinstance(drawn.clocks, Clocks)
    assert len(drawn.clocks.asked) <= 24


@pytest.mark.parametrize("active", [0, 1, 998, 999])
def test_the_first_and_the_last_of_many_are_seen_too(active: int) -> None:
    lines = picture(view(crowd(1000, active)))
    assert any(line.startswith(f">  Player {active + 1} ") for line in lines)


@pytest.mark.parametrize(
    ("of", "right_for"),
    [
        (state(), 1000.0),
        (state("pending"), math.inf),
        (state("paused"), math.inf),
        (state("paused", resumes_at_ms=1_062_300), 300.0),
        (state("completed"), math.inf),
    ],
)
def test_a_picture_says_for_how_long_it_is_right(of: State, right_for: float) -> None:
    current = face(running=of.status == "running") if of.is_live else None
    assert screen.draw(view(of, clocks=Clocks(of, current)), 80, 24)[1] == right_for


def test_the_end_of_a_pause_is_counted_down() -> None:
    assert any("goes on in 1:02" in line for line in picture(view(state("paused", resumes_at_ms=1_062_000))))
    assert any("paused" in line for line in picture(view(state("paused"))))


def test_a_state_of_a_replica_says_how_old_it_may_be() -> None:
    assert "from a replica, up to 3 s old" in "\n".join(picture(view(state(), stale_ms=3000)))
    assert "replica" not in "\n".join(picture(view(state())))


@pytest.mark.parametrize("connection", ["connecting", "reconnecting", "closed"])
def test_a_connection_that_is_not_there_is_told(connection: str) -> None:
    assert picture(view(state(), connection=connection, uncertainty_ms=math.inf))[-1].startswith(connection)


def test_a_clock_whose_time_is_refused_is_not_shown() -> None:
    lines = picture(
        view(state(), clocks=Clocks(state(), None), notice="this machine's clock is 7200 s behind")
    )
    assert any("this machine's clock is 7200 s behind" in line for line in lines)


def test_names_and_reasons_do_not_move_the_cursor() -> None:
    evil = state(metadata={"title": "\x1b[2Jtitle\r\n", "names": {ANNA: "\x1b]0;Anna\x07", BEN: "B\ne\tn"}})
    said = rendered(view(evil, notice="\x1b[31mred"), 80, 24)
    assert not {"\x1b", "\r", "\x07", "\t"} & set(said)
    assert "B e n" in said


def test_colours_say_how_serious_it_is() -> None:
    def colours(clock: ClockFace) -> str:
        console = Console(width=80, height=24, color_system="standard", force_terminal=True)
        with console.capture() as captured:
            console.print(screen.draw(view(state(), clocks=Clocks(state(), clock)), 80, 24)[0])
        return next(line for line in captured.get().splitlines() if "█" in line)

    seen = [
        colours(face(remaining_ms=float(ms), main_ms=float(ms), expired=ms == 0))
        for ms in (300_000, 19_000, 5_000, 0)
    ]
    assert ["31" in line or "33" in line or "41" in line for line in seen] == [False, True, True, True]
    assert len({line.partition("m")[0] for line in seen}) == 4


def test_what_is_left_to_read_at_the_end_is_short() -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(screen.summary(view(crowd(1000, 500), ["first", "last"]), 80))
    lines = captured.get().splitlines()
    assert len(lines) < 20
    assert lines[-1] == "last"


def test_a_session_with_a_start_counts_down_to_it() -> None:
    planned = state("pending", starts_at_ms=1_005_000, ends_at_ms=1_065_000)
    drawn = view(planned)
    assert any("Starts in 0:05.0." in line and "ends in 1:05" in line for line in picture(drawn))
    assert screen.draw(drawn, 80, 24)[1] == 100.0
    late = view(planned, now_ms=1_009_000.0)  # and the service has not told yet
    assert any("Starts in 0:00." in line for line in picture(late))


def test_a_clock_of_days_fits_in_big_digits() -> None:
    of = state()
    clocks = Clocks(of, face(remaining_ms=273_906_000.0, main_ms=273_906_000.0))
    assert sum("█" in line for line in picture(view(of, clocks=clocks))) == 5
