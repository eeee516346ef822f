"""lua/README.md: its examples work when pasted in order, its tables are complete, its numbers are right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from synckairos import errors
from synckairos.keys import SessionKeys
from synckairos.library import Library
from tests import servers
from tests.pages import ROOT, Page, Shell, Table, codes, matches
from tests.servers import Server

PAGE = Page(ROOT / "lua" / "README.md")
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
POSITIONAL = {"sk_create", "sk_join", "sk_leave", "sk_log", "sk_restore"}
"""Functions with an argument before their options."""


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

WORKED = [
    pytest.param(table, id=f"{section.title}-{position}")
    for section in PAGE.sections
    for position, table in enumerate(section.tables)
    if table.heads[:3] == ["at", "call", "event"]
]


def test_every_mode_has_a_worked_example() -> None:
    modes = {row["mode"].strip("`") for row in PAGE.section("Modes").tables[0].rows}
    assert modes <= {str(parameter.id).rsplit("-", 1)[0] for parameter in WORKED}


@pytest.mark.parametrize("table", WORKED)
def test_worked_examples(clock: Clock, table: Table) -> None:
    config = _with_ids(table.blocks[-1].text)
    assert clock.call("sk_create", config)["status"] == "pending"
    for row in table.rows:
        clock.at(_number(row["at"]))
        call, *options = _with_ids(row["call"]).split()
        event = row["event"] if call == NONE else _event(clock.call(f"sk_{call}", *options))
        state = clock.state()
        alarm = clock.client.zscore(GAME.alarms, state["session_id"])
        computed = {head: _cell(head, state, alarm) for head in table.heads[3:]}
        assert row == {"at": row["at"], "call": row["call"], "event": event, **computed}


def _with_ids(text: str) -> str:
    return re.sub(r"\$([A-Z]+)", lambda name: PEOPLE[name[1].capitalize()], text)


def _number(cell: str) -> int:
    return int(cell.replace(",", ""))


def _event(reply: Any) -> str:
    """What came of a call: the event of the change, the code of the refusal, or nil."""
    if isinstance(reply, errors.SyncKairosError):
        return reply.code
    if reply is None:
        return "nil"
    event: str = reply["payload"]["event"]
    types = {row["event"].strip("`"): row["type"].strip("`") for row in PAGE.section("Events").tables[0].rows}
    assert types[event] == reply["type"]
    change, payload = PAGE.section("Change").tables
    assert set(reply) <= _fields(change)
    assert set(reply["payload"]) <= _fields(payload)
    return event


def _cell(head: str, state: dict[str, Any], alarm: float | None) -> str:
    """A cell of a worked example as it should be; times are ms."""
    if head == "active":
        return NAMES.get(state["active_participant_id"], NONE)
    number: float | None
    if head == "clock":
        number = state["time_remaining_ms"]
    elif head == "alarm":
        number = None if alarm is None else alarm - START_MS
    else:
        name, _, what = head.partition(" ")
        owners = {owner["group_id"]: owner for owner in state["groups"]}
        owners |= {owner["participant_id"]: owner for owner in state["participants"]}
        owner = owners[PEOPLE[name]]
        fields = {"": "time_remaining_ms", "used": "time_used_ms"}
        number = owner["clock"]["quota_ms"] if what == "quota" else owner[fields[what]]
    return NONE if number is None else f"{int(number):,}"


def test_the_worked_numbers_of_the_time_controls(clock: Clock) -> None:
    table = PAGE.section("Time controls").tables[1]
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
            event = _event(clock.call("sk_switch"))
            bank = clock.state()["participants"][0]["total_time_ms"]
            assert row[head] == (f"{bank:,}" if event == "cycle.switched" else "out"), head


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
    common = {"TENANT", "VERSION", "EPOCH", "ACTOR", "TRACE", "REQUEST"}
    taken = {}
    for row in PAGE.section("Functions").tables[0].rows:
        arguments = row["arguments"]
        options = {word for word in codes(arguments) if word.isupper()}
        if "common options" in arguments:
            options ^= common  # those that stand there as well are taken out
        taken[codes(row["function"])[0]] = options
    del taken["sk_throttle"], taken["sk_info"]  # these have no options but arguments
    return taken


def _given(name: str, *options: str) -> tuple[str, ...]:
    return ("x", *options) if name in POSITIONAL else options


def test_every_option_of_every_function(clock: Clock) -> None:
    rows = PAGE.section("Options").tables[0].rows
    options = {codes(row["option"])[0]: row["value"] for row in rows}
    readers = re.search(r"local READERS = \{\n(.*?)\n\}", SOURCE, re.DOTALL)
    assert readers is not None
    assert set(options) == {*re.findall(r"^  ([A-Z]+) =", readers[1], re.MULTILINE), "EXPORT"}
    for name, taken in _taken().items():
        keys = GAME.all[: 1 if name == "sk_get" else 2 if name == "sk_log" else 4]
        for option, value in options.items():
            values = [] if value == "none" else _bounds(value)[0][:1]
            found = clock.problems(name, *_given(name, option, *values), keys=keys)
            refused = found.get(option, "") == "is no option of this function"
            assert refused != (option in taken), (name, option)


def _bounds(value: str) -> tuple[list[str], list[str]]:
    """Values that are within the bounds of a cell, and values that are just outside."""
    if value.startswith("UUID"):
        return [PEOPLE["Anna"].upper()], ["", PEOPLE["Anna"][1:]]
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
        if option == "EXPORT":
            continue
        name = next(name for name, options in taken.items() if option in options)
        keys = GAME.all[: 2 if name == "sk_log" else 1 if name == "sk_get" else 4]
        good, bad = _bounds(row["value"])
        for value in good:
            assert option not in clock.problems(name, *_given(name, option, value), keys=keys), value
        for value in bad:
            assert option in clock.problems(name, *_given(name, option, value), keys=keys), (option, value)


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
    "time_control": {"kind": "delay", "delay_ms": 5},
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
        if "10,240 bytes" in value:
            bad.append(good | {"more": "x" * 10_240})
        if "100 keys" in value:
            bad.append({str(number): number for number in range(101)})
        return [good, None], bad
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
        assert set(known) == _fields(PAGE.section(title).tables[0])
    assert _fields(PAGE.section("Config").tables[3]) == _fields(PAGE.section("Modes").tables[0])


def test_every_field_of_the_state(clock: Clock) -> None:
    clock.call("sk_create", json.dumps(IN_GROUPS))
    state = clock.call("sk_get", "EXPORT", keys=GAME.all[:1])
    whole, owner = PAGE.section("State").tables
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
    events = set(re.findall(r"'((?:session|cycle|participant|time)\.[a-z]+)'", SOURCE))
    events |= {f"session.{status}" for status in re.findall(r"close_as\('(\w+)'\)", SOURCE)}
    assert _fields(PAGE.section("Events").tables[0]) == events


def test_every_code_of_a_refusal() -> None:
    found = set(re.findall(r"refuse\('([A-Z_]+)'", SOURCE))
    assert _fields(PAGE.section("Refusals").tables[0], "code") == found


def test_every_key_and_channel() -> None:
    keys = {key.replace(GAME.session[8:], "<id>").replace("{e7}", "{tt}") for key in GAME.all}
    assert _fields(PAGE.section("Keys").tables[0], "key") == {*keys, "sk:rl:{<bucket>}"}
    assert _fields(PAGE.section("Channels").tables[0], "channel") == {"sk:{tt}:<id>", "sk:{tt}:alarms"}


def test_links_lead_to_sections() -> None:
    assert PAGE.links() <= PAGE.anchors()
