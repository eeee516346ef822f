"""lua/README.md, lua/controls/README.md: examples work in order, tables are complete, numbers are right."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from synckairos import errors
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from tests.support import servers
from tests.support.pages import ROOT, Page, Section, Shell, Table, codes, matches
from tests.support.servers import Server

PAGE = Page(ROOT / "lua" / "README.md")
CONTROLS_PAGE = Page(ROOT / "lua" / "controls" / "README.md")
SOURCE = "\n".join(file.read_text() for file in sorted((ROOT / "lua").rglob("*.lua")))

GAME = SessionKeys.of("7c9e6679-7425-40de-944b-e07fc1f90ae7")
PEOPLE = {
    name: f"{digit * 8}-0000-4000-8000-000000000001"
    for name, digit in {"Anna": "a", "Ben": "b", "Cleo": "c", "Red": "e", "Blue": "f"}.items()
}
NAMES = {person: name for name, person in PEOPLE.items()}
NONE = TO = "\N{EN DASH}"
START_MS = 1_800_000_000_000
MINIMAL = {"sync_mode": "count_up", "participants": [{"participant_id": PEOPLE["Anna"]}]}
POSITIONAL = {
    **dict.fromkeys(("sk_create", "sk_join", "sk_leave", "sk_log", "sk_metadata"), 1),
    **dict.fromkeys(("sk_move_activate", "sk_restore", "sk_turn"), 1),
    **dict.fromkeys(("sk_import", "sk_move_in"), 2),
}
"""How many arguments a function has before its options; none where it is not named."""


def test_the_examples_work_when_pasted_in_order(server: Server, tmp_path: Path) -> None:
    """With redis-cli on Redis where it is installed, and with its stand-in on Valkey."""
    with Shell(tmp_path, {"REDIS_URL": server.url}, real=server.kind == "redis") as shell:
        for example, shown in PAGE.examples():
            printed = shell.run(example.text)
            assert matches(shown, printed), f"the example in line {example.line} printed:\n{printed}"


class Clock:
    """A server with the library under virtual time."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def at(self, ms: int) -> None:
        """Puts the time to `ms` after the start."""
        self.client.set("sk:{vt}:now", START_MS + ms)

    def call(self, function: str, *arguments: str, keys: tuple[str, ...] = GAME.all) -> Any:
        """The reply, decoded where it is JSON, or the refusal."""
        try:
            reply = self.client.fcall(function, len(keys), *keys, *arguments)
        except redis.ResponseError as error:
            if (refusal := errors.from_refusal(str(error))) is None:
                raise
            return refusal
        return json.loads(reply) if isinstance(reply, bytes) else reply

    def problems(self, function: str, *arguments: str, keys: tuple[str, ...] = GAME.all) -> dict[str, str]:
        """What the function finds wrong with its input, by field."""
        reply = self.call(function, *arguments, keys=keys)
        details = reply.details if isinstance(reply, errors.ValidationError) else []
        return {detail["field"]: detail["message"] for detail in details}

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.call("sk_get", keys=GAME.all[:1])
        return state


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with servers.start("valkey") as server, server.sync_client() as client:
        client.function_load(Library.assemble(virtual_time=True).payload)
        yield client


@pytest.fixture
def clock(client: redis.Redis) -> Clock:
    client.flushall()
    clock = Clock(client)
    clock.at(0)
    return clock


# --- the worked examples -----------------------------------------------------------------------------------


class Play:
    """A session of a worked example, and what the page says of it."""

    def __init__(self, clock: Clock, config: str) -> None:
        """Creates the session."""
        self.clock = clock
        self.exported = ""
        self.payload: dict[str, Any] = {}
        """Of the change that the newest call made; empty where it made none."""
        clock.client.flushall()
        clock.at(0)
        assert clock.call("sk_create", _with_ids(config))["status"] == "pending"

    def call(self, at: str, call: str) -> str:
        """Makes the call of a row at its time. Returns the event or the refusal that came of it."""
        self.clock.at(_number(at))
        self.payload = {}
        function, *options = shlex.split(_with_ids(call))
        if function == NONE:
            return NONE
        if function == "get":
            self.exported = self.clock.client.fcall("sk_get", 1, GAME.session, *options).decode()
            return NONE
        if function == "restore":
            self.clock.client.delete(*GAME.all)
            version = self.clock.call("sk_restore", self.exported)["version"]
            (change,) = self.clock.client.fcall("sk_log", 2, *GAME.all[:2], str(version - 1))
            reply = json.loads(change)
        else:
            reply = self.clock.call(f"sk_{function}", *options)
        if isinstance(reply, errors.SyncKairosError):
            return reply.code
        return "nil" if reply is None else self._event(reply)

    def _event(self, change: dict[str, Any]) -> str:
        self.payload = change["payload"]
        event: str = self.payload["event"]
        types = {
            row["event"].strip("`"): row["type"].strip("`") for row in PAGE.section("Events").tables[0].rows
        }
        assert types[event] == change["type"]
        envelope, payload = PAGE.section("Change").tables
        assert set(change) <= _fields(envelope)
        assert set(self.payload) <= _fields(payload)
        return event

    def cells(self, heads: list[str]) -> dict[str, str]:
        """What stands under these heads now: numbers with commas, names, a dash for null and absent."""
        state = self.clock.state()
        found = {}
        for head in heads:
            value = self._value(head, state)
            found[head] = NONE if value is None else f"{value:,}" if isinstance(value, int) else str(value)
        return found

    def _value(self, head: str, state: dict[str, Any]) -> Any:
        if head.startswith("`"):
            return self.payload.get(head.strip("`"))
        if head == "alarm":
            alarm = self.clock.client.zscore(GAME.alarms, state["session_id"])
            return None if alarm is None else int(alarm) - START_MS
        if head in INSTANTS:
            instant = state[INSTANTS[head]]
            return None if instant is None else instant - START_MS
        if head in OF_THE_SESSION:
            value = state[OF_THE_SESSION[head]]
            return NAMES.get(value, value) if isinstance(value, str) else value
        name, _, what = head.partition(" ")
        owners = {owner["participant_id"]: owner for owner in state["participants"]}
        owners |= {owner["group_id"]: owner for owner in state["groups"]}
        owner = owners.get(PEOPLE[name], {})  # who has left has nothing
        if what in OF_AN_OWNER:
            return owner.get(OF_AN_OWNER[what])
        shown: Any = owner.get("clock")
        for member in what.strip("`").split("."):
            shown = (shown or {}).get(member)
        return shown


INSTANTS = {
    "deadline": "deadline_ms",
    "resumes": "resumes_at_ms",
    "starts": "starts_at_ms",
    "ends": "ends_at_ms",
}
OF_THE_SESSION = {
    "active": "active_participant_id",
    "status": "status",
    "clock": "time_remaining_ms",
    "total": "total_remaining_ms",
    "pauses left": "pauses_left",
    "pause time": "pause_remaining_ms",
}
OF_AN_OWNER = {"": "time_remaining_ms", "bank": "total_time_ms", "used": "time_used_ms"}


def _with_ids(text: str) -> str:
    return re.sub(r"\$([A-Z]+)", lambda name: PEOPLE[name[1].capitalize()], text)


def _number(cell: str) -> int:
    return int(cell.replace(",", ""))


def _tables(head: str) -> list[Any]:
    """The tables whose first head is like this, each with its section."""
    return [
        pytest.param(section, table, id=f"{section.title}-{position}")
        for section in [*PAGE.sections, *CONTROLS_PAGE.sections]
        for position, table in enumerate(section.tables)
        if re.fullmatch(head, table.heads[0])
    ]


STORIES, EACH = _tables("at"), _tables(r"each at [\d,]+")


@pytest.mark.parametrize(("section", "table"), STORIES)
def test_worked_examples(clock: Clock, section: Section, table: Table) -> None:
    play = Play(clock, table.blocks[-1].text)
    for row in table.rows:
        event = play.call(row["at"], row["call"])
        shown = {"at": row["at"], "call": row["call"], "event": event, **play.cells(table.heads[3:])}
        assert row == shown, section.title


@pytest.mark.parametrize(("section", "table"), EACH)
def test_worked_examples_of_one_call_each(clock: Clock, section: Section, table: Table) -> None:
    """Every row begins with the calls before its time in the table above."""
    head = table.heads[0]
    at = head.removeprefix("each at ")
    above = section.tables[section.tables.index(table) - 1]
    for row in table.rows:
        play = Play(clock, above.blocks[-1].text)
        for earlier in above.rows:
            if _number(earlier["at"]) < _number(at):
                play.call(earlier["at"], earlier["call"])
        event = play.call(at, row[head])
        assert row == {head: row[head], "event": event, **play.cells(table.heads[2:])}


def test_what_has_a_worked_example() -> None:
    titles = {section.title for section, _ in (parameter.values for parameter in STORIES)}
    assert titles >= _fields(PAGE.section("Modes").tables[0])
    assert titles >= _fields(CONTROLS_PAGE.section("Time controls").tables[0])
    assert titles >= {"Overtime", "Unequal clocks", "Lag compensation", "Timeouts", "Warnings", "Pauses"}
    assert titles >= {"A total over all cycles", "Soft close", "Players", "Schedule", "A number of cycles"}
    assert "Corrections" in titles


# --- time controls -----------------------------------------------------------------------------------------


def test_the_worked_numbers_of_the_time_controls(clock: Clock) -> None:
    table = CONTROLS_PAGE.section("Time controls").tables[1]
    for row in table.rows:
        for head in table.heads[1:]:
            clock.client.delete(*GAME.all)
            participants = [
                {"participant_id": PEOPLE[name], "total_time_ms": 60_000} for name in ("Anna", "Ben")
            ]
            control = json.loads(head.strip("`"))
            config = {"sync_mode": "per_participant", "participants": participants, "time_control": control}
            clock.at(0)
            clock.call("sk_create", json.dumps(config))
            clock.call("sk_start")
            clock.at(_number(row["used"]))
            event = clock.call("sk_switch")["payload"]["event"]
            bank = clock.state()["participants"][0]["total_time_ms"]
            assert row[head] == (f"{bank:,}" if event == "cycle.switched" else "out"), head


CONTROLS: dict[str, dict[str, Any]] = {
    "fischer": {},
    "bronstein": {"delay_ms": 5},
    "delay": {"delay_ms": 5},
    "byoyomi": {"periods": 2, "period_ms": 5},
    "canadian": {"moves": 2, "period_ms": 5},
    "hourglass": {},
    "stages": {"stages": [{"moves": 2, "time_ms": 1000}, {"time_ms": 0}]},
    "none": {},
}
"""Each kind with what it needs."""


def _create(clock: Clock, control: Any, *, bank: int | None = None, **config: Any) -> Any:
    """The state of a new session of Anna and Ben with this time control and these banks, or the refusal."""
    participants = [{"participant_id": PEOPLE[name], "total_time_ms": bank} for name in ("Anna", "Ben")]
    config = {"sync_mode": "per_participant", "participants": participants, "time_control": control} | config
    clock.client.delete(*GAME.all)
    return clock.call("sk_create", json.dumps(config))


def _create_kind(clock: Clock, kind: str, **parameters: Any) -> Any:
    """The same with a time control of this kind, and with the banks that it does not bring along."""
    bank = None if kind in {"stages", "none"} else 60_000
    return _create(clock, {"kind": kind} | CONTROLS[kind] | parameters, bank=bank)


def _refused(reply: Any) -> list[str]:
    """The fields that a refusal names."""
    assert isinstance(reply, errors.ValidationError), reply
    return [detail["field"] for detail in reply.details]


KINDS = {codes(row["kind"])[0]: row for row in CONTROLS_PAGE.section("Time controls").tables[0].rows}


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_control(clock: Clock, kind: str) -> None:
    """Its parameters and their bounds, what `clock` shows of it, what it is as text."""
    row = KINDS[kind]
    source = (ROOT / "lua" / "controls" / f"{kind}.lua").read_text()
    bounds = re.findall(rf"`(\w+)` \w \((\d+){TO}(\d+)[,;]([^)]*)\)", row["parameters"])
    assert {name for name, *_ in bounds} == set(re.findall(r"\{ '(\w+)', \d+, [\w.]+", source))
    for name, low, high, default in bounds:
        for value in (int(low), int(high)):
            assert _create_kind(clock, kind, **{name: value})["time_control"][name] == value
        for wrong in (int(low) - 1, int(high) + 1, int(low) + 0.5, low):
            assert _refused(_create_kind(clock, kind, **{name: wrong})) == [f"time_control.{name}"]
        without = _create_kind(clock, kind, **{name: None})
        assert isinstance(without, errors.ValidationError) == ("required" in default)
    assert _refused(_create_kind(clock, kind, sand=1)) == ["time_control.sand"]
    state = _create_kind(clock, kind)
    assert set(state["participants"][0]["clock"]) == set(codes(row["in `clock`"]))
    for text in codes(row["as text"]):
        assert _create(clock, text)["time_control"]["kind"] == kind


def test_the_bounds_of_an_overtime(clock: Clock) -> None:
    found = re.search(rf"`overtime_ms` X \((\d+){TO}(\d+)\)", CONTROLS_PAGE.text)
    assert found is not None
    low, high = int(found[1]), int(found[2])
    for kind in CONTROLS:
        if kind == "none":
            assert _refused(_create_kind(clock, kind, overtime_ms=low)) == ["time_control.overtime_ms"]
            continue
        state = _create_kind(clock, kind, overtime_ms=high)
        assert state["participants"][0]["clock"]["overtime_used_ms"] == 0
        for value in (low - 1, high + 1):
            assert _refused(_create_kind(clock, kind, overtime_ms=value)) == ["time_control.overtime_ms"]


STAGE = {codes(row["name"])[0]: row["value"] for row in CONTROLS_PAGE.section("stages").tables[0].rows}
FIRST, LAST = {"moves": 2, "time_ms": 1000}, {"time_ms": 0}


def _create_stages(clock: Clock, *stages: dict[str, Any]) -> list[str]:
    """The fields that are refused of a time control with these stages."""
    reply = _create_kind(clock, "stages", stages=stages)
    return [] if isinstance(reply, dict) else _refused(reply)


def test_how_many_stages(clock: Clock) -> None:
    few, many = map(int, re.findall(r"\d+", KINDS["stages"]["parameters"]))
    for count in (few, many, many + 1):
        stages = [FIRST] * (count - 1) + [{"time_ms": 1000}]
        assert _create_stages(clock, *stages) == ([] if count <= many else ["time_control.stages"])
    assert few == 1
    assert _create_stages(clock) == ["time_control.stages"]


def test_the_numbers_of_a_stage(clock: Clock) -> None:
    assert list(STAGE) == ["moves", "time_ms", "kind"]
    good, bad = _bounds(STAGE["moves"])
    for moves in map(int, good):
        assert _create_stages(clock, FIRST | {"moves": moves}, LAST) == []
    for moves in map(int, bad[:2]):
        assert _create_stages(clock, FIRST | {"moves": moves}, LAST) == ["time_control.stages.0.moves"]
    assert _create_stages(clock, FIRST) == ["time_control.stages.0.moves"]
    good, bad = _bounds(STAGE["time_ms"])
    for time_ms in map(int, good):
        assert _create_stages(clock, FIRST, {"time_ms": time_ms}) == []
    for time_ms in map(int, bad[:2]):
        assert _create_stages(clock, FIRST, {"time_ms": time_ms}) == ["time_control.stages.1.time_ms"]
    least = int(re.findall(r"from (\d+)", STAGE["time_ms"])[0])
    assert _create_stages(clock, FIRST | {"time_ms": least}, LAST) == []
    assert _create_stages(clock, FIRST | {"time_ms": least - 1}, LAST) == ["time_control.stages.0.time_ms"]


def test_the_kinds_of_a_stage(clock: Clock) -> None:
    never, not_before_the_last = (set(codes(part)) for part in STAGE["kind"].split(";"))
    for kind, own in CONTROLS.items():
        before = _create_stages(clock, FIRST | {"kind": kind} | own, LAST)
        assert (before == []) == (kind not in never | not_before_the_last), kind
        at_the_end = _create_stages(clock, FIRST, LAST | {"kind": kind} | own)
        assert (at_the_end == []) == (kind not in never), kind
    assert _create_stages(clock, FIRST, LAST | {"overtime_ms": 5}) == ["time_control.stages.1.overtime_ms"]


def test_who_has_to_bring_a_bank(clock: Clock) -> None:
    for kind, own in CONTROLS.items():
        brings = not isinstance(_create(clock, {"kind": kind} | own), errors.ValidationError)
        assert brings == (kind in {"stages", "none"}), kind
    assert _create(clock, "5+3", bank=300_000)["participants"][0]["total_time_ms"] == 300_000
    fields = ["participants.0.total_time_ms", "participants.1.total_time_ms"]
    assert _refused(_create(clock, "5+3", bank=300_001)) == fields
    alone = [{"participant_id": PEOPLE["Anna"], "total_time_ms": 5000}]
    assert _refused(_create(clock, {"kind": "hourglass"}, participants=alone)) == ["time_control"]


def test_how_to_draw_periods(clock: Clock) -> None:
    """The rule of the page against `now`, at every 500 ms."""
    periods, period = 3, 10_000
    control = {"kind": "byoyomi", "periods": periods, "period_ms": period}
    _create(clock, control, bank=20_000)
    clock.call("sk_start")
    for ms in range(0, 50_000, 500):
        clock.at(ms)
        state = clock.state()
        left = state["deadline_ms"] - state["server_time_ms"]
        now = state["participants"][0]["clock"]["now"]
        rest, count = left % period or period, math.ceil(left / period)
        drawn = (rest, count) if left <= periods * period else (period, periods)
        assert (now["period_remaining_ms"], now["periods_left"]) == drawn


def test_the_members_of_clock(clock: Clock) -> None:
    """They stand in the order of the page, and `now` has what the page says."""
    rows = {codes(row["member of `clock`"])[0]: row["value"] for row in PAGE.section("State").tables[2].rows}
    seen, of_now = set(), set()
    for stages in (
        [{"moves": 1, "time_ms": 1000, "kind": "byoyomi"} | CONTROLS["byoyomi"], {"time_ms": 0}],
        [{"time_ms": 1000, "kind": "canadian"} | CONTROLS["canadian"]],
    ):
        control = {"kind": "stages", "stages": stages, "overtime_ms": 5}
        _create(clock, control, lag_compensation=True)
        (started,) = clock.call("sk_start")["payload"]["participants"]
        running, waiting = (owner["clock"] for owner in clock.state()["participants"])
        assert list(running) == [name for name in rows if name in running]
        assert started["clock"] == waiting == {name: running[name] for name in running if name != "now"}
        seen |= set(running)
        of_now |= set(running["now"])
    assert seen == set(rows)
    assert of_now == set(codes(rows["now"]))


def test_the_quota_of_lag_compensation(clock: Clock) -> None:
    table = PAGE.section("Lag compensation").tables[0]
    for row in table.rows:
        bank, increment = _number(row["bank"]), _number(row["increment"])
        control = {"kind": "fischer", "increment_ms": increment}
        state = _create(clock, control, bank=bank, lag_compensation=True)
        quota = state["participants"][0]["clock"]["quota_ms"]
        gain = min(1000, 10 * int(2 * (bank + 40 * increment) / 1000 // 5) + 150)
        assert quota == 3 * gain
        assert (row["G"], row["quota at first"]) == (f"{gain:,}", f"{quota:,}")
    stages = [{"moves": 1, "time_ms": 60_000, "increment_ms": 1000}, {"time_ms": 0, "increment_ms": 9000}]
    state = _create(clock, {"kind": "stages", "stages": stages}, lag_compensation=True)
    row = next(row for row in table.rows if (row["bank"], row["increment"]) == ("60,000", "1,000"))
    assert state["participants"][0]["clock"]["quota_ms"] == _number(row["quota at first"])
    assert _create(clock, "-", lag_compensation=True)["participants"][0]["clock"] == {}


TEXTS, NORMAL, WRONG, TWO_MEANINGS = (
    table.rows for table in CONTROLS_PAGE.section("Time controls as text").tables
)


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row["text"])
def test_a_text_stands_for(clock: Clock, row: dict[str, str]) -> None:
    """Also in a session that has an increment of its own, and as the state shows it."""
    (text,) = codes(row["text"])
    (stands_for,) = codes(row["stands for"])
    state = _create(clock, text, increment_ms=1000)
    shown = json.loads(stands_for) | {"notation": text}
    assert state["time_control"] == shown
    assert list(state["time_control"])[-1] == "notation"
    banks = [owner["total_time_ms"] for owner in state["participants"]]
    assert [NONE if bank is None else f"{bank:,}" for bank in banks] == [row["bank"]] * 2
    for same in (shown, {"notation": text}):
        again = _create(clock, same, increment_ms=1000)
        assert (again["time_control"], again["participants"]) == (shown, state["participants"])


@pytest.mark.parametrize("row", NORMAL, ids=lambda row: row["text"])
def test_a_text_has_a_normal_form(clock: Clock, row: dict[str, str]) -> None:
    (text,), (normal,) = codes(row["text"]), codes(row["normal form"])
    state = _create(clock, text)
    assert state["time_control"]["notation"] == normal
    again = _create(clock, normal)
    assert (again["time_control"], again["participants"]) == (state["time_control"], state["participants"])


@pytest.mark.parametrize("row", [*WRONG, *TWO_MEANINGS], ids=lambda row: row["text"])
def test_a_text_is_refused_at_a_position(clock: Clock, row: dict[str, str]) -> None:
    (text,) = codes(row["text"])
    refused = [{"field": "time_control", "message": row["message"]}]
    for control in (text, {"notation": text}):
        assert _create(clock, control).details == refused
    participants = [
        {"participant_id": PEOPLE["Anna"]},
        {"participant_id": PEOPLE["Ben"], "time_control": text},
    ]
    reply = _create(clock, "5", participants=participants)
    assert reply.details == [{"field": "participants.1.time_control", "message": row["message"]}]


def test_the_bounds_of_a_text(clock: Clock) -> None:
    (found,) = re.findall(r"A number has at most (\d+) characters, a text (\d+)", CONTROLS_PAGE.text)
    characters, most = map(int, found)
    number = "5." + "0" * (characters - 2)
    assert _create(clock, number)["time_control"]["notation"] == "5"
    assert "at position 1:" in str(_create(clock, number + "0"))
    one = "1".zfill(characters)
    longest = ":".join([f"{one}/{one}+{one}"] * 3 + [f"{one}/{one}"] * 5)
    longest += "+" + "0" * (most - len(longest) - 1)
    assert _create(clock, longest)["time_control"]["kind"] == "stages"
    assert f"at position {most + 1}:" in str(_create(clock, "0" + longest))


def test_what_stands_beside_a_text(clock: Clock) -> None:
    same = {"notation": "5+3", "kind": "fischer", "increment_ms": 3000, "overtime_ms": 5}
    assert _create(clock, same)["time_control"] == same
    another = _create(clock, {"notation": "5+3", "kind": "delay", "increment_ms": 2000})
    assert sorted(_refused(another)) == ["time_control.increment_ms", "time_control.kind"]


# --- the tables are complete -------------------------------------------------------------------------------


def _fields(table: Table, head: str | None = None) -> set[str]:
    """The names that stand in the first column, or the one with this head."""
    return {name for row in table.rows for name in codes(row[head or table.heads[0]])}


def test_every_function_with_keys_and_flags(clock: Clock) -> None:
    (library,) = clock.client.function_list("synckairos")
    functions = {}
    for function in _pairs(library)[b"functions"]:
        fields = _pairs(function)
        functions[fields[b"name"].decode()] = {flag.decode() for flag in fields[b"flags"]}
    rows = PAGE.section("Functions").tables[0].rows
    assert {codes(row["function"])[0]: set(codes(row["flags"])) for row in rows} == functions
    for row in rows:
        name, count = codes(row["function"])[0], int(row["keys"])
        assert any(f"{name} {count}" in block.text for block in PAGE.section(name).blocks)
        wrong = (*GAME.all[:count], "sk:one-more")
        assert {"KEYS", "KEYS.0", "arguments"} & set(clock.problems(name, keys=wrong)), name


def _pairs(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _taken() -> dict[str, set[str]]:
    """Which options each function takes, as the page has it."""
    common = {"TENANT", "VERSION", "EPOCH", "ACTOR", "TRACE", "TRACEPARENT", "REQUEST", "SCHEMA"}
    taken = {}
    for row in PAGE.section("Functions").tables[0].rows:
        arguments = row["arguments"]
        options = {word for word in codes(arguments) if word.isupper()}
        if "common options" in arguments:
            options ^= common  # those that stand there as well are taken out
        taken[codes(row["function"])[0]] = options
    del taken["sk_throttle"], taken["sk_quota"], taken["sk_info"]  # these have no options but arguments
    return taken


def _given(name: str, *options: str) -> tuple[str, ...]:
    return (*("x",) * POSITIONAL.get(name, 0), *options)


def test_every_option_of_every_function(clock: Clock) -> None:
    rows = PAGE.section("Options").tables[0].rows
    options = {codes(row["option"])[0]: row["value"] for row in rows}
    readers = re.search(r"local READERS = \{\n(.*?)\n\}", SOURCE, re.DOTALL)
    assert readers is not None
    without_value = re.search(r"local FLAGS = \{(.*?)\}", SOURCE)
    assert without_value is not None
    assert set(options) == {
        *re.findall(r"^  ([A-Z]+) =", readers[1], re.MULTILINE),
        *re.findall(r"([A-Z]+) =", without_value[1]),
    }
    for name, taken in _taken().items():
        keys = GAME.all[: 1 if name == "sk_get" else 2 if name == "sk_log" else 4]
        for option, value in options.items():
            values = [] if value == "none" else _bounds(value)[0][0].split(" ")
            found = clock.problems(name, *_given(name, option, *values), keys=keys)
            refused = found.get(option, "") == "is no option of this function"
            assert refused != (option in taken), (name, option)


def _bounds(value: str) -> tuple[list[str], list[str]]:
    """Values that are within the bounds of a cell, and values that are just outside."""
    if value.startswith("UUID"):
        return [PEOPLE["Anna"].upper()], ["", PEOPLE["Anna"][1:]]
    if value == "`<version>@<epoch>`":
        return ["3@1795306409736"], ["", "3", "@", "3@", "@1795306409736", "-3@1795306409736"]
    if "traceparent" in value:
        one = f"00-{'a' * 32}-{'b' * 16}-01"
        return [one, one.ljust(128, "-")], [one.upper(), one[:-1], f"{one}é", f"é{one}", one.ljust(129, "-")]
    if value == "server time in ms, or `none`":
        return ["none", "NONE", "1", "9007199254740991"], ["", "0", "-1", "9007199254740992", "1.5", "soon"]
    if value == "`total`":
        return ["total"], ["", "cycle", "TOTAL"]
    if value == "burst, count, period_ms, cooldown_ms":
        return ["1 1 1 0", "5 7 1000 60000"], ["0 1 1 0", "1 1 1 -1", "1 x 1 0", "1 1 1.5 0"]
    numbers = re.search(rf"(-?\d+){TO}(-?\d+)", value)
    assert numbers is not None, value
    low, high = int(numbers[1]), int(numbers[2])
    if "integer" in value:
        return [str(low), str(high)], [str(low - 1), str(high + 1), "1.5", "x"]
    letter = "x" if "visible ASCII" in value else "é"
    return [letter * max(low, 1), letter * high], [letter * (high + 1)] + ([""] if low else [])


def test_the_bounds_of_options(clock: Clock) -> None:
    taken = _taken()
    for row in PAGE.section("Options").tables[0].rows:
        option = codes(row["option"])[0]
        if row["value"] == "none":
            continue
        name = next(name for name, options in taken.items() if option in options)
        keys = GAME.all[: 2 if name == "sk_log" else 1 if name == "sk_get" else 4]
        good, bad = _bounds(row["value"])
        for value in good:
            given = _given(name, option, *value.split(" "))
            assert option not in clock.problems(name, *given, keys=keys), value
        for value in bad:
            given = _given(name, option, *value.split(" "))
            assert option in clock.problems(name, *given, keys=keys), (option, value)


def test_the_bounds_of_sk_throttle(clock: Clock) -> None:
    arguments = {"burst": 10, "count": 10, "period_ms": 1000, "quantity": 1, "cooldown_ms": 0}
    table = PAGE.section("sk_throttle").tables[0]
    assert list(arguments) == [codes(row["argument"])[0] for row in table.rows]
    for row in table.rows:
        name = codes(row["argument"])[0]
        good, bad = _bounds("integer " + row["bounds"].replace("burst", str(arguments["burst"])))
        for value in good + bad:
            given = [str(number) for number in (arguments | {name: value}).values()]
            problems = clock.problems("sk_throttle", *given, keys=("sk:rl:{bucket}",))
            assert (name in problems) == (value in bad), (name, value)


@pytest.mark.parametrize(
    ("position", "lua_name", "path"),
    [(0, "CONFIG", ""), (1, "PARTICIPANT", "participants.0."), (2, "GROUP", "groups.0.")],
)
def test_the_config(clock: Clock, position: int, lua_name: str, path: str) -> None:
    """Its names are the library's, and the bounds are where the page has them."""
    rows = PAGE.section("Config").tables[position].rows
    known = re.search(rf"local {lua_name} = \{{(.*?)\}}", SOURCE, re.DOTALL)
    assert known is not None
    assert [codes(row["name"])[0] for row in rows] == re.findall(r"(\w+) = true", known[1])
    for row in rows:
        name = codes(row["name"])[0]
        good, bad = _config_values(name, row["value"])
        for value, wrong in [*((value, False) for value in good), *((value, True) for value in bad)]:
            config = json.loads(json.dumps(IN_GROUPS if lua_name == "GROUP" else IN_PAIRS))
            inside = config[path.partition(".")[0]][0] if path else config
            inside[name] = value
            problems = clock.problems("sk_create", json.dumps(config))
            refused = any(
                field.startswith(path + name) and "is none of" not in message
                for field, message in problems.items()
            )
            assert refused == wrong, (name, value, problems)
            clock.client.delete(*GAME.all)


IN_PAIRS = {
    "sync_mode": "per_participant",
    "participants": [{"participant_id": PEOPLE[name], "total_time_ms": 60_000} for name in ("Anna", "Ben")],
}
IN_GROUPS = {
    "sync_mode": "per_group",
    "participants": [{"participant_id": PEOPLE["Anna"], "group_id": GAME.session[8:]}],
    "groups": [{"group_id": GAME.session[8:], "total_time_ms": 60_000}],
}
OBJECTS: dict[str, dict[str, Any]] = {
    "time_control": {"kind": "fischer", "increment_ms": 5},
    "action_on_timeout": {"type": "notify"},
    "metadata": {},
}


def _config_values(name: str, value: str) -> tuple[list[Any], list[Any]]:
    """Values that a config may have according to a cell of the page, and values that it may not have."""
    if value == "UUID":
        return [GAME.session[8:]], ["x", 5, True]
    if value == "text":
        return ["per_participant"], ["x", 5]
    if value == "boolean":
        return [True, False, None], [1, "true"]
    if value.startswith("object"):
        good = OBJECTS[name]
        bad: list[Any] = [[], 5, "x"]
        if "or text" in value:
            return [good, "1", None], bad
        if "10,240 bytes" in value:
            bad.append(good | {"more": "x" * 10_240})
        if "100 keys" in value:
            bad.append({str(number): number for number in range(101)})
        return [good, None], bad
    if days := re.fullmatch(r"server time ahead, at most (\d+) days", value):
        farthest = START_MS + int(days[1]) * 86_400_000
        return [START_MS + 1, farthest, None], [START_MS, farthest + 1, START_MS + 1.5, str(farthest), True]
    many = re.match(rf"list of (\d+){TO}(\d+)", value)
    bounds = re.search(rf"integers? (\d+){TO}(\d+)", value)
    if bounds is None:
        assert many is not None
        entry = {"participant_id": GAME.session[8:], "group_id": GAME.session[8:]}
        too_many = [entry] * (int(many[2]) + 1)
        return ([[]], [too_many, {}, 5]) if many[1] == "0" else ([], [[], too_many, {}, 5])
    low, high = int(bounds[1]), int(bounds[2])
    if many is not None:
        most = list(range(low, low + int(many[2])))
        return [[], [low, high], most], [[low - 1], [high + 1], [*most, high], [low, low], {}]
    return [low, high], [low - 1, high + 1, low + 0.5, str(low)]


def test_the_defaults_of_the_config(clock: Clock) -> None:
    state = clock.call("sk_create", json.dumps(MINIMAL))
    defaults = {
        codes(row["name"])[0]: json.loads(codes(row["default"])[0])
        for row in PAGE.section("Config").tables[0].rows
        if codes(row["default"])
    }
    defaults["time_control"] = None  # count_up has none
    assert {name: state[name] for name in defaults} == defaults


def test_every_name_that_a_mode_a_control_and_a_timeout_may_have(clock: Clock) -> None:
    config = MINIMAL | {
        "sync_mode": "x",
        "time_control": {"kind": "x"},
        "action_on_timeout": {"type": "x"},
    }
    said = clock.problems("sk_create", json.dumps(config))
    places = {
        "sync_mode": "Modes",
        "time_control.kind": "Time controls",
        "action_on_timeout.type": "Timeouts",
    }
    for field, title in places.items():
        known = said[field].removeprefix("must be one of ").split(", ")
        assert set(known) == _fields(
            (CONTROLS_PAGE if title == "Time controls" else PAGE).section(title).tables[0]
        )
    assert _fields(PAGE.section("Config").tables[3]) == _fields(PAGE.section("Modes").tables[0])


def test_every_field_of_the_state(clock: Clock) -> None:
    clock.call("sk_create", json.dumps(IN_GROUPS))
    state = clock.call("sk_get", "EXPORT", keys=GAME.all[:1])
    whole, owner, _ = PAGE.section("State").tables
    assert _fields(whole) == set(state)
    assert _fields(owner) == set(state["participants"][0]) | set(state["groups"][0])


def test_every_field_of_a_change(clock: Clock) -> None:
    clock.call("sk_create", json.dumps(MINIMAL), "REQUEST", "1")
    clock.call("sk_start", "REQUEST", "2")
    change = clock.call("sk_start", "REQUEST", "2")
    envelope, payload = PAGE.section("Change").tables
    assert _fields(envelope) == set(change)
    position = [codes(row["field of `payload`"])[0] for row in payload.rows].index("expired_participant_id")
    always = Table(payload.heads, payload.rows[:position], [])
    assert _fields(always) == set(change["payload"])
    sometimes = _fields(payload) - _fields(always)
    assert sometimes <= set(re.findall(r"\"(\w+)\":", SOURCE))


def test_every_event() -> None:
    events = set(re.findall(r"'((?:session|cycle|participant|time|turn|metadata)\.[a-z_]+)'", SOURCE))
    events |= {f"session.{status}" for status in re.findall(r"close_as\('(\w+)'\)", SOURCE)}
    assert _fields(PAGE.section("Events").tables[0]) == events


def test_every_code_of_a_refusal() -> None:
    found = set(re.findall(r"refuse\('([A-Z_]+)'", SOURCE))
    assert _fields(PAGE.section("Refusals").tables[0], "code") == found


def test_every_key_and_channel() -> None:
    keys = {key.replace(GAME.session[8:], "<id>").replace("{e7}", "{tt}") for key in GAME.all}
    of_tenants = {"sk:quota:{<tenant>}", ":looked", ":sockets"}
    assert _fields(PAGE.section("Keys").tables[0], "key") == {*keys, *of_tenants, "sk:rl:{<bucket>}"}
    assert _fields(PAGE.section("Channels").tables[0], "channel") == {"sk:{tt}:<id>", "sk:{tt}:alarms"}


def test_links_lead_to_sections() -> None:
    for page, folder in ((PAGE, ROOT / "lua"), (CONTROLS_PAGE, ROOT / "lua" / "controls")):
        assert page.links() <= page.anchors()
        for target, anchor in re.findall(r"\]\(([^)#]+README\.md)(?:#([^)]+))?\)", page.text):
            assert not anchor or anchor in Page(folder / target).anchors(), (target, anchor)
