"""Reads the config of a new session: its bounds, its defaults, and a list of all wrong fields.

`parse_config` and `parse_participant` take decoded JSON and return plain values. Each problem is the dotted
path of a field, such as `participants.1.total_time_ms`. A field that is null counts as absent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from tests.model import notation
from tests.model.clocks import Rule

SECOND, DAY = 1000, 86_400_000
LONGEST = 366 * DAY
LONGEST_PAUSE = 30 * DAY
MODES = ("per_participant", "per_group", "per_cycle", "global", "count_up")
ACTIONS = ("end_session", "skip_cycle", "auto_action", "notify")
UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
PARAMETERS: dict[str, dict[str, tuple[int, int, bool]]] = {  # kind -> name -> lowest, highest, required
    "fischer": {"increment_ms": (0, LONGEST, False)},
    "bronstein": {"delay_ms": (0, LONGEST, True)},
    "delay": {"delay_ms": (0, LONGEST, True)},
    "byoyomi": {
        "periods": (1, 1000, True),
        "period_ms": (1, LONGEST, True),
        "increment_ms": (0, LONGEST, False),
    },
    "canadian": {"period_ms": (1, LONGEST, True), "moves": (1, 1000, True)},
    "hourglass": {},
    "none": {},
}
CONTROL_NAMES = ["kind", "notation", "overtime_ms", "stages", "repeat", "moves", "time_ms"]
MOST_STAGES_IN_ALL = 2000
CONFIG_NAMES = [
    "session_id",
    "sync_mode",
    "participants",
    "groups",
    "active_participant_id",
    "total_time_ms",
    "time_per_cycle_ms",
    "increment_ms",
    "max_time_ms",
    "time_control",
    "lag_compensation",
    "auto_advance",
    "action_on_timeout",
    "warnings_ms",
    "max_pause_ms",
    "max_pauses",
    "max_total_pause_ms",
    "max_cycles",
    "starts_at_ms",
    "ends_at_ms",
    "players_may_pause",
    "players_may_choose_next",
    "metadata",
]


@dataclass(slots=True)
class Control:
    """A parsed time control.

    shown: the control as the state shows it
    banks: whether the control has the bank, so that its owner needs none
    bank: that bank in ms; None for a clock without end
    """

    shown: dict[str, Any]
    rules: tuple[Rule, ...]
    overtime_ms: int = 0
    banks: bool = False
    bank: int | None = None
    repeats: bool = False

    @property
    def more(self) -> bool:
        """Whether a clock whose bank begins at 0 has periods, a block, a delay or overtime after it."""
        rule = self.rules[0]
        return (
            self.overtime_ms > 0
            or rule.kind in {"byoyomi", "canadian"}
            or (rule.kind == "delay" and rule.delay_ms > 0)
        )

    @property
    def staged(self) -> bool:
        """Whether the control has stages."""
        return self.shown.get("kind") == "stages"


@dataclass(slots=True)
class Member:
    """One entry of `participants` (or, without an index, of `groups`)."""

    id: str
    index: int = -1
    group: str | None = None
    bank: int | None = None
    control: Control | None = None
    given_control: Any = None


@dataclass(slots=True)
class Config:
    """A session's configuration with the defaults filled in."""

    mode: str = ""
    participants: list[Member] = field(default_factory=list)
    groups: list[Member] = field(default_factory=list)
    active: str | None = None
    total_ms: int | None = None
    cycle_ms: int | None = None
    increment_ms: int = 0
    max_ms: int | None = None
    control: Control | None = None
    given_control: Any = None
    lag: bool = False
    auto_advance: bool = False
    action: dict[str, Any] = field(default_factory=dict)
    warnings: list[int] = field(default_factory=list)
    max_pause_ms: int | None = None
    max_pauses: int | None = None
    max_total_pause_ms: int | None = None
    max_cycles: int | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    players_may_pause: bool = False
    players_may_choose_next: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def owned(self) -> bool:
        """Whether participants or groups own the clocks."""
        return self.mode in {"per_participant", "per_group"}

    @property
    def cycle_clock(self) -> bool:
        """Whether each cycle has a new clock of its own."""
        return self.cycle_ms is not None and self.mode in {"per_cycle", "global"}

    @property
    def budgeted(self) -> bool:
        """Whether the session has a budget in addition to the clock of each cycle."""
        return self.mode == "global" and self.cycle_ms is not None and self.total_ms is not None


class Problems(list[str]):
    """Collects the dotted paths of what is wrong while values are read."""

    def integer(
        self, source: dict[str, Any], name: str, low: int, high: int, path: str = "", *, need: bool = False
    ) -> int | None:
        """The whole number at `name`, or None when it is absent or wrong."""
        value = source.get(name)
        if value is None and not need:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.append(path + name)
            return None
        return value

    def boolean(self, source: dict[str, Any], name: str) -> bool:
        """The flag at `name`, false when it is absent or wrong."""
        value = source.get(name)
        if value is not None and not isinstance(value, bool):
            self.append(name)
        return value is True

    def uuid(self, source: dict[str, Any], name: str, path: str = "", *, need: bool = False) -> str | None:
        """The id at `name` in lower case, or None when it is absent or wrong."""
        value = source.get(name)
        if value is None and not need:
            return None
        if not isinstance(value, str) or not UUID.fullmatch(value):
            self.append(path + name)
            return None
        return value.lower()

    def known(self, source: dict[str, Any], names: list[str], path: str = "") -> None:
        """Refuse all names that are not in `names`."""
        self.extend(path + name for name in source if name not in names)

    def objects(self, source: dict[str, Any], name: str) -> list[dict[str, Any] | None]:
        """The list of objects at `name`. An entry that is no object is a problem, and becomes None."""
        value = source.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.append(name)
            return []
        self.extend(f"{name}.{i}" for i, entry in enumerate(value) if not isinstance(entry, dict))
        return [entry if isinstance(entry, dict) else None for entry in value]


def parse_config(source: Any, key_id: str, now: int) -> tuple[Config, list[str]]:
    """The configuration and the problems of a decoded config for the session of the keys.

    now: the server's time (ms), which a start and an end have to be after
    """
    bad = Problems()
    if not isinstance(source, dict):
        return Config(), ["config"]
    bad.known(source, CONFIG_NAMES)
    if source.get("session_id") is not None and bad.uuid(source, "session_id") not in {None, key_id}:
        bad.append("session_id")
    c = Config(mode=source["sync_mode"] if source.get("sync_mode") in MODES else "")
    if not c.mode:
        bad.append("sync_mode")
    c.total_ms = bad.integer(source, "total_time_ms", SECOND, LONGEST)
    c.cycle_ms = bad.integer(source, "time_per_cycle_ms", SECOND, LONGEST, need=c.mode == "per_cycle")
    c.max_ms = bad.integer(source, "max_time_ms", SECOND, LONGEST)
    c.increment_ms = bad.integer(source, "increment_ms", 0, LONGEST) or 0
    if c.mode == "global" and c.total_ms is None and source.get("time_per_cycle_ms") is None:
        bad.append("total_time_ms")
    c.lag, c.auto_advance = bad.boolean(source, "lag_compensation"), bad.boolean(source, "auto_advance")
    c.players_may_pause = bad.boolean(source, "players_may_pause")
    c.players_may_choose_next = bad.boolean(source, "players_may_choose_next")
    if c.mode and not c.owned and c.lag:
        bad.append("lag_compensation")
    c.given_control = source.get("time_control")
    c.control = parse_control(
        source.get("time_control"), "time_control", c, bad, allowed=c.owned or not c.mode
    )
    c.max_pause_ms = bad.integer(source, "max_pause_ms", 1, LONGEST_PAUSE)
    c.max_pauses = bad.integer(source, "max_pauses", 0, 1000)
    c.max_total_pause_ms = bad.integer(source, "max_total_pause_ms", 1, LONGEST_PAUSE)
    c.max_cycles = bad.integer(source, "max_cycles", 1, 1_000_000)
    c.starts_at = bad.integer(source, "starts_at_ms", now + 1, now + LONGEST)
    c.ends_at = bad.integer(source, "ends_at_ms", now + 1, now + LONGEST)
    if c.starts_at is not None and c.ends_at is not None and c.ends_at <= c.starts_at:
        bad.append("ends_at_ms")
    c.action = _action(source, c, bad)
    c.metadata = _metadata(source, bad)
    _members(source, c, bad)
    c.warnings = _warnings(source, c, bad)
    return c, sorted(set(bad))


def parse_participant(source: Any, config: Config, next_index: int) -> tuple[Member, list[str]]:
    """The participant of a join, and the problems that do not depend on the session."""
    bad = Problems()
    if not isinstance(source, dict):
        return Member(""), ["participant"]
    member = _participant(source, "", next_index, config, bad)
    return member, sorted(set(bad))


def _participant(source: dict[str, Any], path: str, index: int, c: Config, bad: Problems) -> Member:
    bad.known(
        source, ["participant_id", "participant_index", "group_id", "total_time_ms", "time_control"], path
    )
    pid = bad.uuid(source, "participant_id", path, need=True)
    given = bad.integer(source, "participant_index", 0, 999, path)
    member = Member(
        pid or "", index if source.get("participant_index") is None else -1 if given is None else given
    )
    member.group = bad.uuid(source, "group_id", path, need=c.mode == "per_group")
    member.bank = _amount(source, path, bad)
    allowed = c.mode in {"per_participant", ""}
    member.given_control = source.get("time_control")
    member.control = parse_control(source.get("time_control"), path + "time_control", c, bad, allowed=allowed)
    if c.mode == "per_participant":
        _bank(member, source.get("time_control"), path, c, bad)
    return member


def _amount(source: dict[str, Any], path: str, bad: Problems) -> int | None:
    """The bank of an entry: 0, or at least a second. Whether it may be 0 depends on its control."""
    name = "total_time_ms"
    zero = source.get(name) == 0 and not isinstance(source[name], bool)
    return 0 if zero else bad.integer(source, name, SECOND, LONGEST, path)


def _bank(member: Member, own: Any, path: str, c: Config, bad: Problems) -> None:
    """Set an owner's bank: the one it was given, or the one of its control. If it has both, they must agree.

    own: the owner's `time_control` as it was given. If this control is wrong and would have had the bank, the
        missing bank is not a problem of its own
    """
    control = c.control if own is None else member.control
    if control is not None and control.banks:
        if member.bank is not None and member.bank != control.bank:
            bad.append(path + "total_time_ms")
        member.bank = control.bank
    elif member.bank is None:
        if not _has_bank(_given(own, c)):
            bad.append(path + "total_time_ms")
    elif member.bank == 0 and not (control.more if control is not None else _given(own, c) is not None):
        # Whether a control that is wrong would have had anything after the bank is not known.
        bad.append(path + "total_time_ms")


def _given(own: Any, c: Config) -> Any:
    """The control of an owner as it was given: its own, or the session's."""
    return c.given_control if own is None else own


def _has_bank(given: Any) -> bool:
    """Whether a control, which may be wrong, is of a kind that has the bank."""
    if isinstance(given, dict):
        return given.get("notation") is not None or given.get("kind") in ("stages", "none")
    return isinstance(given, str)


def _members(source: dict[str, Any], c: Config, bad: Problems) -> None:
    entries = bad.objects(source, "participants")
    if source.get("participants") is None or (
        isinstance(source["participants"], list) and not 1 <= len(entries) <= 1000
    ):
        bad.append("participants")
    c.participants = [
        Member("") if e is None else _participant(e, f"participants.{i}.", i, c, bad)
        for i, e in enumerate(entries)
    ]
    _unique(bad, "participants", "participant_id", [m.id for m in c.participants], "")
    _unique(bad, "participants", "participant_index", [m.index for m in c.participants], -1)
    given: dict[str, Any] = {}
    for i, entry in enumerate(bad.objects(source, "groups")):
        if entry is None:
            continue
        path = f"groups.{i}."
        bad.known(entry, ["group_id", "total_time_ms", "time_control"], path)
        group = Member(bad.uuid(entry, "group_id", path, need=True) or "")
        group.bank = _amount(entry, path, bad)
        allowed = c.mode in {"per_group", ""}
        group.given_control = entry.get("time_control")
        group.control = parse_control(
            entry.get("time_control"), path + "time_control", c, bad, allowed=allowed
        )
        c.groups.append(group)
        given[group.id] = entry.get("time_control")
    _unique(bad, "groups", "group_id", [g.id for g in c.groups], "")
    known = {g.id for g in c.groups}
    if source.get("groups") is None:
        # Reading: groups that only participants name are in the order of their lowest index.
        named = dict.fromkeys(
            m.group for m in sorted(c.participants, key=lambda m: m.index) if m.group is not None
        )
        c.groups = [Member(group) for group in named]
    else:
        bad.extend(
            f"participants.{i}.group_id"
            for i, m in enumerate(c.participants)
            if m.group and m.group not in known
        )
    if c.mode == "per_group":
        for i, group in enumerate(c.groups):
            banks = [m.bank for m in c.participants if m.group == group.id]
            if group.bank is None and banks and all(b is not None for b in banks):
                control = group.control or c.control
                if control is None or not control.banks:
                    group.bank = sum(b for b in banks if b is not None)
            _bank(group, given.get(group.id), f"groups.{i}.", c, bad)
    _hourglass(c, bad)
    _stages_in_all(c, bad)
    c.active = bad.uuid(source, "active_participant_id")
    if c.active is not None and c.active not in {m.id for m in c.participants}:
        bad.append("active_participant_id")


def _hourglass(c: Config, bad: Problems) -> None:
    """An hourglass needs a second owner, who gets the time."""
    name, owners = ("groups", c.groups) if c.mode == "per_group" else ("participants", c.participants)
    if not c.owned or len(owners) >= 2:
        return
    for i, owner in enumerate(owners):
        control = owner.control or c.control
        if control is not None and any(rule.kind == "hourglass" for rule in control.rules):
            bad.append(f"{name}.{i}.time_control" if owner.control else "time_control")


def _stages_in_all(c: Config, bad: Problems) -> None:
    """Participants times stages are bounded. A control of the session counts for each participant."""
    controls = {g.id: g.control for g in c.groups} if c.mode == "per_group" else {}
    found = 0
    for member in c.participants:
        control = member.control or controls.get(member.group or "") or c.control
        found += len(control.rules) if control is not None and control.staged else 0
    if found > MOST_STAGES_IN_ALL:
        bad.append("participants")


def _unique(bad: Problems, name: str, key: str, values: list[Any], void: Any) -> None:
    seen: set[Any] = set()
    for i, value in enumerate(values):
        if value != void and value in seen:
            bad.append(f"{name}.{i}.{key}")
        seen.add(value)


def _warnings(source: dict[str, Any], c: Config, bad: Problems) -> list[int]:
    # Reading: only the overtime of a clock that there is counts, and not that of a control that nobody has.
    owners = {"per_participant": c.participants, "per_group": c.groups}.get(c.mode, [])
    lowest = 0
    for owner in owners:
        given = c.given_control if owner.given_control is None else owner.given_control
        control = c.control if owner.given_control is None else owner.control
        # A control that is wrong may have been meant to have any overtime.
        overtime = 0 if given is None else LONGEST if control is None else control.overtime_ms
        lowest = min(lowest, -overtime)
    values = source.get("warnings_ms")
    if values is None:
        return []
    if not isinstance(values, list) or len(values) > 8:
        bad.append("warnings_ms")
        return []
    for i, value in enumerate(values):
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not lowest <= value <= DAY
            or value in values[:i]
        ):
            bad.append(f"warnings_ms.{i}")
    return values


def _action(source: dict[str, Any], c: Config, bad: Problems) -> dict[str, Any]:
    action = source.get("action_on_timeout")
    # A time for each cycle is meant to be there, even if it is wrong.
    cycles = c.mode == "per_cycle" or (c.mode == "global" and source.get("time_per_cycle_ms") is not None)
    if action is None:
        return {"type": "skip_cycle" if c.auto_advance and cycles else "end_session"}
    if not isinstance(action, dict):
        bad.append("action_on_timeout")
        return {}
    kind = action.get("type")
    if kind not in ACTIONS or (kind == "end_session" and c.auto_advance and cycles):
        bad.append("action_on_timeout.type")
    return action


def _metadata(source: dict[str, Any], bad: Problems) -> dict[str, Any]:
    metadata = source.get("metadata")
    if metadata is None:
        return {}
    compact = json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()
    if not isinstance(metadata, dict) or len(metadata) > 100 or len(compact) > 10_240:
        bad.append("metadata")
        return {}
    return metadata


def parse_control(source: Any, path: str, c: Config, bad: Problems, *, allowed: bool) -> Control | None:
    """A time control, given as an object or as text; None when it is absent or wrong."""
    if source is None:
        return None
    if isinstance(source, str):
        source = {"notation": source}
    if not allowed or not isinstance(source, dict):
        bad.append(path)
        return None
    if source.get("notation") is not None:
        return _noted(source, path, c, bad)
    return _control(source, path, c, bad)


def _control(source: dict[str, Any], path: str, c: Config, bad: Problems) -> Control | None:
    before = len(bad)
    overtime = bad.integer(source, "overtime_ms", 0, LONGEST, path + ".") or 0
    shown = source = _without_nulls(source)
    if source.get("kind") == "stages":
        bad.known(source, ["kind", "stages", "repeat", "overtime_ms", "notation"], path + ".")
        repeats = source.get("repeat", False)
        if not isinstance(repeats, bool):
            bad.append(path + ".repeat")
        rules = _stages(source.get("stages"), path + ".stages", c, bad, repeats=repeats is True)
        if len(bad) > before:
            return None
        stages = [{"kind": "fischer"} | _without_nulls(stage) for stage in source["stages"]]
        shown = source | {"stages": stages}
        return Control(shown, rules, overtime, banks=True, bank=rules[0].time_ms, repeats=repeats)
    rule = _rule(source, path + ".", c, bad, extra=["overtime_ms", "notation"])
    endless = rule.kind == "none"
    if endless and source.get("overtime_ms") is not None:
        bad.append(path + ".overtime_ms")
    return Control(shown, (rule,), overtime, banks=endless) if len(bad) == before else None


def _noted(source: dict[str, Any], path: str, c: Config, bad: Problems) -> Control | None:
    """A control with `notation`. Its other fields must agree with the text, except `overtime_ms`."""
    try:
        overtime = source.get("overtime_ms")
        # With overtime a bank may be 0. A wrong one is reported below.
        said, bank, normal = notation.read(source["notation"], overtime if isinstance(overtime, int) else 0)
    except notation.Misread:
        bad.append(path)
        return None
    for name, value in _without_nulls(source).items():
        if name not in {"notation", "overtime_ms"} and said.get(name) != value:
            bad.append(f"{path}.{name}")
            return None
    if source.get("overtime_ms") is not None:
        said |= {"overtime_ms": source["overtime_ms"]}
    control = _control(said, path, c, bad)
    if control is not None:
        control.shown |= {"notation": normal}
        control.banks, control.bank = True, control.bank if bank is None else bank
    return control


def _without_nulls(source: dict[str, Any]) -> dict[str, Any]:
    """The object without the names that are null, which count as absent. An unknown name stays."""
    known = {name for names in PARAMETERS.values() for name in names} | set(CONTROL_NAMES)
    return {name: value for name, value in source.items() if value is not None or name not in known}


def _stages(source: Any, path: str, c: Config, bad: Problems, *, repeats: bool) -> tuple[Rule, ...]:
    if not isinstance(source, list) or not 1 <= len(source) <= 8:
        bad.append(path)
        return ()
    rules: list[Rule] = []
    for i, entry in enumerate(source):
        here, last = f"{path}.{i}", i == len(source) - 1
        if not isinstance(entry, dict):
            bad.append(here)
            continue
        stage = _without_nulls(entry)
        time = bad.integer(stage, "time_ms", SECOND if i == 0 else 0, LONGEST, here + ".", need=True) or 0
        rule = _rule(stage, here + ".", c, bad, extra=["time_ms", "moves"])
        moves = None
        if rule.kind == "canadian" and (repeats or not last):
            bad.append(here + ".kind")
        elif rule.kind != "canadian" and (repeats or not last):
            moves = bad.integer(stage, "moves", 1, 1000, here + ".", need=True)
        elif rule.kind != "canadian" and "moves" in stage:
            bad.append(here + ".moves")
        rules.append(replace(rule, stage_moves=moves, time_ms=time))
    return tuple(rules)


def _rule(source: dict[str, Any], path: str, c: Config, bad: Problems, *, extra: list[str]) -> Rule:
    stage = "time_ms" in extra
    kind = source.get("kind")
    if kind is None and stage:
        kind = "fischer"
    if not isinstance(kind, str) or kind not in PARAMETERS or (stage and kind == "none"):
        bad.append(path + "kind")
        return Rule()
    names = PARAMETERS[kind]
    bad.known(source, ["kind", *names, *extra], path)
    values = {
        name: bad.integer(source, name, low, high, path, need=need)
        for name, (low, high, need) in names.items()
    }
    increment = values.get("increment_ms")
    return Rule(
        kind,
        increment_ms=c.increment_ms if increment is None and kind == "fischer" else increment or 0,
        max_time_ms=c.max_ms if kind == "fischer" else None,
        delay_ms=values.get("delay_ms") or 0,
        periods=values.get("periods") or 0,
        period_ms=values.get("period_ms") or 0,
        block_moves=values.get("moves") or 0,
    )
