"""The check of a history finds what was planted, names it, and finds nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import UUID

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from synckairos.history.check import Report, check
from synckairos.history.events import decode_event
from synckairos.history.faults import Faults
from synckairos.history.figures import Figures, Quantiles
from synckairos.history.findings import MEANING, Kind
from synckairos.history.lines import Begin, Call, Fault, Line, Message, Socket, read
from synckairos.history.report import show
from synckairos.history.truth import SessionTruth
from tests.model.strategies import PEOPLE
from tests.support import wide_games
from tests.support.audit_rows import EPOCH, event
from tests.support.games import ID, KINDS, START_MS, Json, chooser
from tests.support.games import history as played
from tests.support.histories import PLANTS, Plant, Run, of_game, run, sync, text
from tests.support.pages import ROOT, Page, codes

SEEDS = st.integers(0, 2**32)


def test_half_a_surrogate_pair_can_be_read() -> None:
    """JSON may have it, though no text does."""
    written = {"session_id": ID, "version": 1, "epoch": "1", "server_time_ms": 0}
    payload = {"event": "session.created", "status": "pending", "trace": "\ud800"}
    body = json.dumps({**written, "payload": payload}).encode()
    assert decode_event(msgspec.Raw(body)).payload.trace == "\ud800"
    assert decode_event(body) == decode_event(msgspec.Raw(body))


@given(SEEDS, st.sampled_from(KINDS), st.booleans())
@settings(max_examples=150)
def test_a_sound_history_has_no_findings(seed: int, kind: tuple[str, str], failover: bool) -> None:
    made = run(seed, *kind, failover_at=Random(seed).randrange(1, 12) if failover else None)
    report = made.check()
    assert report.findings == []
    assert report.figures.acknowledged == len(made.calls)
    assert report.figures.not_known == report.figures.lost == 0


@given(SEEDS, st.sampled_from(KINDS))
@settings(max_examples=15)
def test_a_sound_history_of_corrections_and_schedules_has_no_findings(
    seed: int, kind: tuple[str, str]
) -> None:
    game = wide_games.play(chooser(seed), *kind)
    assert of_game(game["created"], game).check().findings == []


@given(SEEDS, st.sampled_from(KINDS))
@settings(max_examples=10)
def test_the_end_of_a_sound_history_has_no_findings(seed: int, kind: tuple[str, str]) -> None:
    """A log without an audit store begins anywhere: in a cycle, in a pause, with one who is out of time."""
    game = wide_games.play(chooser(seed), *kind)
    for made in (run(seed, *kind), of_game(game["created"], game)):
        for number in range(1, len(made.events)):
            end = Run(made.events[number:], made.state)
            assert end.check(complete=False).findings == []


@pytest.mark.parametrize("name", ["participant.expired", "participant.removed", "session.resumed"])
def test_the_end_of_a_history_begins_with_an_event_that_goes_on_in_a_cycle(name: str) -> None:
    """Not with the cycle itself, though nothing before says so."""
    ends = (
        Run(made.events[n:], made.state) for made in map(run, range(40)) for n in range(1, len(made.events))
    )
    found = [each for each in ends if each.events[0]["payload"]["event"] == name]
    assert found
    assert [finding for each in found for finding in each.check(complete=False).findings] == []


@given(SEEDS, st.sampled_from(PLANTS), st.booleans())
@settings(max_examples=300)
def test_a_planted_fault_is_found_and_named(seed: int, plant: Plant, failover: bool) -> None:
    random = Random(seed)
    made = run(seed, failover_at=random.randrange(1, 12) if failover else None)
    kind = plant(made, random)
    assume(kind is not None)
    assert kind in made.kinds()


ANNA = str(UUID(int=1))
START: tuple[str, list[str], int] = ("start", [], START_MS)
OLD, NEW = EPOCH, EPOCH + 1_000
"""The epoch of a primary that is killed, and of the one that follows it."""


def change(version: int, epoch: int, request: str = "") -> Json:
    """A change of the session that this request made."""
    made: Json = json.loads(event(ANNA, version, epoch=epoch, trace=request or f"r{version}"))
    return made


def answered(at_ms: float, version: int, epoch: int, request: str = "") -> Call:
    """The acknowledgement of a change, 10 ms after it was asked for."""
    request = request or f"r{version}"
    return Call(
        at_ms - 10,
        at_ms,
        ANNA,
        "sk_switch",
        request,
        "acknowledged",
        version=version,
        epoch=str(epoch),
    )


def told(at_ms: float, socket: str, message: Json) -> Message:
    """A message at a socket."""
    return Message(at_ms, socket, ANNA, msgspec.Raw(text(message)))


def failover(*more: Line) -> list[Line]:
    """A primary is killed at 1000 ms, and another one goes on at 3000 ms without the versions 4 and 5."""
    return [
        Begin(0, 0),
        Socket(1, "a", ANNA, "opened"),
        told(2, "a", sync(change(1, OLD))),
        *(answered(100 * version, version, OLD) for version in (2, 3)),
        *(told(100 * version + 5, "a", change(version, OLD)) for version in (2, 3)),
        Fault(1000, "kill", "begin"),
        *(answered(1000 + version, version, OLD, f"lost{version}") for version in (4, 5)),
        told(1004, "a", change(4, OLD, "lost4")),
        Call(1100, 2900, ANNA, "sk_switch", "u", "unknown", "STORAGE_UNAVAILABLE"),
        Fault(2800, "kill", "named"),
        Socket(2850, "a", ANNA, "closed", 1006),
        Socket(2860, "a", ANNA, "opened"),
        told(2870, "a", sync(change(3, OLD))),
        answered(3000, 4, NEW),
        told(3001, "a", sync(change(4, NEW))),
        answered(5000, 5, NEW),
        told(5020, "a", change(5, NEW)),
        *more,
        Fault(9000, "kill", "end"),
    ]


AFTER_FAILOVER = [change(version, OLD if version < 4 else NEW) for version in (1, 2, 3, 4, 5)]


def checked(lines: Sequence[Line], events: list[Json], may_lose_ms: float | None = None) -> Report:
    """The check of a recording, with this true history."""
    truth = SessionTruth(ANNA, {"audit": [msgspec.Raw(text(each)) for each in events]})
    return check([lines], [truth], complete=True, may_lose_ms=may_lose_ms)


def test_a_failover_that_lost_something() -> None:
    report = checked(failover(), AFTER_FAILOVER)
    assert [(each.kind, each.version) for each in report.findings] == [("lost", 4), ("lost", 5)]
    assert report.findings[0].text == "request lost4, acknowledged 4 ms after kill began"
    figures = report.figures
    assert (figures.acknowledged, figures.unknown, figures.lost) == (6, 1, 2)
    assert figures.lost_after_ms == [4, 5]
    assert (figures.told_and_lost, figures.phantoms) == (1, 0)
    assert (figures.sockets_opened, figures.sockets_dropped) == (2, 1)
    assert (figures.delay.count, figures.delay.most) == (4, 20)
    assert (figures.delay_settled.count, figures.delay_settled.p50) == (3, 5), (
        "not what came during the outage"
    )
    (outage,) = figures.outages
    assert (outage.name, outage.named_ms, outage.ended_ms) == ("kill", 2800, 9000)
    assert outage.first_success_after_named_ms == 200
    assert outage.longest_pause_ms == 5000 - 3000
    assert checked(failover(), AFTER_FAILOVER, may_lose_ms=3000).sound
    assert not checked(failover(), AFTER_FAILOVER, may_lose_ms=4).sound


def test_what_an_old_primary_says_after_another_one_began() -> None:
    late = told(5030, "a", change(5, OLD, "lost5"))
    report = checked(failover(late), AFTER_FAILOVER)
    assert {(each.kind, each.version) for each in report.findings} == {
        *(("lost", 4), ("lost", 5)),
        *(("phantom", 5), ("told backwards", 5)),
    }


def kinds(report: Report) -> list[tuple[Kind, int]]:
    """What was found, and at which versions."""
    return [(each.kind, each.version) for each in report.findings]


LOST: list[tuple[Kind, int]] = [("lost", 4), ("lost", 5)]
"""What every check of `failover` finds."""


def test_a_phantom_is_told_late_or_was_made_late() -> None:
    told_late = told(5030, "b", sync(change(3, OLD))), told(5031, "b", change(4, OLD, "lost4"))
    assert kinds(checked(failover(*told_late), AFTER_FAILOVER)) == [*LOST, ("phantom", 4)]
    made_late = told(1005, "b", sync(change(4, OLD))), told(1006, "b", change(5, OLD, "lost5"))
    assert kinds(checked(failover(*made_late), AFTER_FAILOVER)) == [*LOST, ("phantom", 5)]


def test_without_a_fault_nothing_may_be_lost() -> None:
    lines = [line for line in failover() if not isinstance(line, Fault)]
    assert kinds(checked(lines, AFTER_FAILOVER)) == [*LOST, ("phantom", 4)]


def test_what_is_missing_inside_an_epoch_was_not_lost_in_a_failover() -> None:
    lines: list[Line] = [
        Fault(1, "kill", "begin"),
        told(2, "a", sync(change(1, OLD))),
        told(3, "a", change(2, OLD)),
    ]
    assert kinds(checked(lines, [change(1, OLD), change(3, OLD)])) == [("gap", 3), ("phantom", 2)]


def test_a_newer_epoch_comes_with_its_state() -> None:
    lines = [told(2, "a", sync(change(3, OLD))), told(3, "a", change(4, NEW))]
    assert kinds(checked(lines, AFTER_FAILOVER)) == [("told gap", 4)]


def test_two_lost_changes_under_one_version() -> None:
    """Nothing of them is left to compare with, but callers and sockets were told two different things."""
    other = told(1003, "b", sync(change(3, OLD))), told(1004, "b", change(4, OLD, "other"))
    report = checked(failover(*other), AFTER_FAILOVER)
    assert kinds(report) == [*LOST, ("rewritten", 4)]
    report = checked(failover(answered(1004, 4, OLD, "other")), AFTER_FAILOVER)
    assert kinds(report) == [("lost", 4), ("lost", 4), ("lost", 5), ("rewritten", 4)]
    assert report.figures.versions_given_twice == 1


def test_an_answer_without_a_version_is_found_by_its_request() -> None:
    """As a deletion is answered."""
    gone = msgspec.structs.replace(answered(8000, 5, NEW, "gone"), version=None, epoch=None)
    assert kinds(checked(failover(gone), AFTER_FAILOVER)) == [*LOST, ("lost", 5)]
    found = msgspec.structs.replace(gone, request_id="r3")
    assert kinds(checked(failover(found), AFTER_FAILOVER)) == LOST


def test_a_loss_long_before_a_fault_is_none_of_its() -> None:
    lines: list[Line] = [answered(1000, 4, OLD, "lost4"), Fault(6000, "kill", "begin")]
    assert checked(lines, AFTER_FAILOVER, may_lose_ms=5000).sound
    assert kinds(checked(lines, AFTER_FAILOVER, may_lose_ms=4999)) == [("lost", 4)]


def test_three_epochs() -> None:
    """Each is cut where the first of the newer ones begins."""
    history = [
        *(change(version, OLD) for version in (1, 2, 3, 4)),
        *(change(version, OLD + 1, f"m{version}") for version in (3, 4, 5, 6)),
        *(change(version, NEW, f"n{version}") for version in (5, 6)),
    ]
    for each in history[4:]:
        each["server_time_ms"] += 1000
    for each in history[8:]:
        each["server_time_ms"] += 1000
    report = checked([], history)
    assert (kinds(report), report.figures.events, report.figures.superseded) == ([], 6, 4)


@pytest.mark.parametrize(
    ("between", "found"), [("cycle.switched", [("expired twice", 3)]), ("time.adjusted", [])]
)
def test_the_same_deadline_may_come_again_when_time_was_given(
    between: str, found: list[tuple[Kind, int]]
) -> None:
    names = "participant.expired", between, "participant.expired"
    history = [
        json.loads(event(ANNA, version, name, expired_participant_id=ANNA, expired_deadline_ms=7))
        for version, name in enumerate(names, 1)
    ]
    del history[1]["payload"]["expired_deadline_ms"]
    assert kinds(checked([], history)) == found


def test_sums_begin_anew_after_what_is_not_seen() -> None:
    """After a gap, and after a restore, which may bring back older banks."""
    people = [{"participant_id": each, "total_time_ms": 60_000} for each in PEOPLE[:2]]
    switches: list[tuple[str, list[str], int]] = [
        ("switch", [], START_MS + 1000 * number) for number in range(1, 7)
    ]
    game = played({"sync_mode": "per_participant", "participants": people}, lambda _: [START, *switches])
    events = [step["event"] | {"epoch": str(OLD)} for step in game["steps"]]
    made = Run(events, game["steps"][-1]["state"] | {"epoch": str(OLD)})
    assert made.check(complete=False).sound
    missing = replace(made, events=[*events[:2], *events[3:]])
    assert kinds(missing.check(complete=False)) == [("gap", 5)]
    events[2]["payload"] |= {"event": "session.recovered", "participants": []}
    for each in events[3:]:
        each["payload"]["time_remaining_ms"] += 500
        each["payload"]["deadline_ms"] += 500
        for person in each["payload"]["participants"]:
            person["total_time_ms"] += 500
    for person in made.state["participants"]:
        person["total_time_ms"] += 500
    assert made.check(complete=False).sound


def test_a_switch_in_the_grace_is_charged_the_whole_bank_at_most() -> None:
    people = [{"participant_id": each, "total_time_ms": 1000} for each in PEOPLE[:2]]
    config = {"sync_mode": "per_participant", "lag_compensation": True, "participants": people}
    calls = [START, ("switch", ["LAG", "300"], START_MS + 1100)]
    game = played(config, lambda _: calls)
    events = [step["event"] | {"epoch": str(OLD)} for step in game["steps"]]
    truth = SessionTruth(
        ID,
        {"log": [msgspec.Raw(text(each)) for each in events]},
        msgspec.Raw(text(game["steps"][-1]["state"] | {"epoch": str(OLD)})),
    )
    report = check([], [truth], complete=False)
    assert (kinds(report), report.figures.clocks_checked) == ([], 1)


@pytest.mark.parametrize(
    ("at_ms", "settled"),
    [(900, True), (1500, False), (4000, False), (4800, True), (11000, False), (13999, False), (14000, True)],
)
def test_when_sockets_are_told_in_time_again(at_ms: float, *, settled: bool) -> None:
    """2 s after another primary was named, or after the end of a fault in which none was."""
    kill = [Fault(1000, "kill", "begin"), Fault(2800, "kill", "named"), Fault(2900, "kill", "named")]
    faults = Faults([*kill, Fault(10000, "stall", "begin"), Fault(12000, "stall", "end")])
    assert faults.settled(at_ms) is settled
    assert faults.outages[0].named_ms == 2800


def test_quantiles() -> None:
    assert Quantiles.of([]) == Quantiles()
    assert Quantiles.of([5]) == Quantiles(1, 5, 5, 5, 5)
    assert Quantiles.of([3, 1, 2]) == Quantiles(3, 2, 3, 3, 3)
    assert Quantiles.of(range(100, 0, -1)) == Quantiles(100, 50, 95, 99, 100)


def test_the_report_counts_in_words_and_shows_no_delay_below_0() -> None:
    lost = SessionTruth(ANNA, {})
    moved = [SessionTruth(f"{number}", {}, moved=True) for number in range(3)]
    report = check([[answered(10, 2, OLD)]], [lost, *moved], complete=False)
    report.figures.delay = Quantiles(3, -1.2, 0.4, 7, 7)
    console = Console(width=120, highlight=False)
    with console.capture() as shown:
        show(report, console)
    assert (report.figures.sessions, report.figures.moved) == (1, 3)
    lines = shown.get().splitlines()
    assert lines[-2:] == ["3 sessions are at another Redis", "1 finding"]
    assert any("p50 -, p95 0, p99 7" in line for line in lines)


def test_what_an_old_primary_wrote_is_not_what_happened() -> None:
    """The audit may have it: it was replaced, and is lost all the same."""
    written = [*AFTER_FAILOVER, change(4, OLD, "lost4")]
    report = checked(failover(), written)
    assert [(each.kind, each.version) for each in report.findings] == [("lost", 4), ("lost", 5)]
    assert (report.figures.superseded, report.figures.told_and_lost) == (1, 1)
    much_later = {**change(4, OLD, "lost4"), "server_time_ms": change(4, NEW)["server_time_ms"] + 1}
    report = checked(failover(), [*AFTER_FAILOVER, much_later])
    assert "older epoch" in {each.kind for each in report.findings}


def test_two_changes_under_one_version_of_one_epoch() -> None:
    """As two servers wrote them that did not know of each other's epoch."""
    one_epoch = [change(version, OLD) for version in (1, 2, 3, 4, 5)]
    lines: list[Line] = [
        answered(400, 4, OLD, "other"),
        answered(410, 4, OLD),
        told(420, "b", change(4, OLD, "other")),
    ]
    report = checked(lines, one_epoch)
    assert report.figures.versions_given_twice == 1
    assert {each.kind for each in report.findings} == {"rewritten", "lost", "told gap"}


def test_a_socket_that_asks_for_what_it_missed() -> None:
    """It is told again from the version that it names, and that is no step back."""
    answer: Json = {"v": 1, "type": "RECONNECT_ACK", "success": True, "replayed": 2}
    lines = [
        told(1, "a", sync(change(1, OLD))),
        *(told(version, "a", change(version, OLD)) for version in (2, 3)),
        told(4, "a", answer),
        *(told(version + 5, "a", change(version, OLD)) for version in (2, 3)),
    ]
    history = [change(version, OLD) for version in (1, 2, 3)]
    assert checked(lines, history).sound
    del lines[3]
    kinds = [each.kind for each in checked(lines, history).findings]
    assert kinds == ["told backwards", "told twice"]


def test_a_state_that_is_older_and_says_so() -> None:
    """As a replica has it while there is no primary."""
    older = sync(change(2, OLD))
    lines = [told(1, "a", sync(change(3, OLD))), told(2, "a", older)]
    history = [change(version, OLD) for version in (1, 2, 3)]
    assert [each.kind for each in checked(lines, history).findings] == ["told backwards"]
    lines[1] = told(2, "a", {**older, "stale": {"age_ms": 2000}})
    assert checked(lines, history).sound
    replica = told(5030, "b", {**sync(change(4, OLD)), "stale": {"age_ms": 5000}})
    assert kinds(checked(failover(replica), AFTER_FAILOVER)) == LOST, "and it is no phantom"


def test_an_answer_that_shows_a_later_state() -> None:
    """A start is answered with the state, in which more may have happened; a switch with its own change."""
    history = [change(version, OLD) for version in (1, 2, 3)]
    start = msgspec.structs.replace(answered(30, 3, OLD, "r2"), function="sk_start")
    switch = answered(40, 3, OLD)
    assert checked([start, switch], history).sound
    start = msgspec.structs.replace(start, function="sk_switch")
    assert {each.kind for each in checked([start, switch], history).findings} == {"lost", "rewritten"}


@pytest.mark.parametrize(
    ("at_ms", "name", "after_ms"),
    [
        (900, "kill", -100),
        (1100, "kill", 100),
        (2900, "kill", 1900),
        (4000, "kill", 3000),
        (6500, "hang", -500),
        (9000, "hang", 2000),
    ],
)
def test_the_fault_that_a_loss_belongs_to(at_ms: float, name: str, after_ms: float) -> None:
    faults = Faults([Fault(1000, "kill", "begin"), Fault(3000, "kill", "end"), Fault(7000, "hang", "begin")])
    assert faults.of(at_ms) == (name, after_ms)


def test_a_history_that_does_not_reach_back() -> None:
    """Without an audit store, what is before the log is not known, and not lost."""
    lines = [answered(10 * version, version, OLD) for version in (2, 3, 4, 5)]
    truth = SessionTruth(ANNA, {"log": [msgspec.Raw(text(change(version, OLD))) for version in (4, 5)]})
    report = check([lines], [truth], complete=False)
    assert (report.findings, report.figures.not_known) == ([], 2)
    report = check([lines], [truth], complete=True)
    assert [(each.kind, each.version) for each in report.findings] == [("gap", 4), ("lost", 2), ("lost", 3)]


def test_a_session_of_which_nothing_is_left() -> None:
    report = check([[answered(10, 2, OLD)]], [SessionTruth(ANNA, {})], complete=False)
    assert [(each.kind, each.version) for each in report.findings] == [("lost", 2)]


def test_an_id_that_was_used_again() -> None:
    """It begins anew with version 1, and replaces nothing."""
    history = [
        *(change(version, OLD) for version in (2, 3)),
        *(json.loads(event(ANNA, 1, "session.created", epoch=epoch)) for epoch in (OLD, NEW)),
        change(2, NEW, "again"),
    ]
    for each in history[-2:]:
        each["server_time_ms"] += 1000
    lines = [*(answered(10 * version, version, OLD) for version in (2, 3)), answered(90, 2, NEW, "again")]
    report = checked(lines, history)
    assert (report.findings, report.figures.superseded) == ([], 0)


def test_the_page_names_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(ROOT / "synckairos" / "history" / "README.md")
    kinds = {codes(row["kind"])[0]: codes(row["members"]) for row in page.section("Recording").tables[0].rows}
    recorded = [Begin, Call, Socket, Message, Fault]
    assert kinds == {str(each.__struct_config__.tag): list(each.__struct_fields__) for each in recorded}
    found = page.section("What is found").tables[0].rows
    assert {codes(row["found"])[0]: row["means"] for row in found} == MEANING
    measured = {
        name for row in page.section("What is measured").tables[0].rows for name in codes(row["figure"])
    }
    assert measured == {*Figures.__struct_fields__} - {"sessions", "events", "messages"}, (
        "which say it themselves"
    )

    monkeypatch.chdir(tmp_path)
    (example,) = [block.text for block in page.section("Recording").blocks if block.language == "python"]
    exec(example, {"session_id": ANNA, "request_id": "r3", "text": text(change(3, OLD))})
    lines = list(read((tmp_path / "run.jsonl").read_bytes().splitlines()))
    assert [type(line) for line in lines] == recorded
