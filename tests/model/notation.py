"""Time controls as players write them: `5+3`, `40/90:30+30`, `10d5`, `hourglass 5`, PGN's `300+3`, US Chess'
`G/60;d5` and SGF's `TM[600]OT[5x30 byo-yomi]`.

`read` returns the control as an object, the bank, and the normal form of the text. All times are whole
milliseconds.

    time     = digits ["." digits] | [digits] ("¼" | "½" | "¾"), in minutes; PGN has seconds, and no quarters
    plus     = "+" or "|", with spaces around it; in PGN and US Chess only "+"
    stage    = moves "/" time [plus seconds]
    stages   = stage {":" stage} [":" time [plus seconds]]
    plain    = time | time plus seconds | time "d" seconds | time "b" seconds | time plus periods "x" seconds
             | time plus seconds plus periods "x" seconds | time plus moves "/" seconds | stages
             | "hourglass " time
    pgn      = time [plus seconds] | stages | "*" time | "-"
    rule     = ("d" | "inc" | "+") seconds
    us       = rest | us-stage {sep us-stage} [sep rest]
    rest     = ("G/" | "SD/") time [sep rule]
    us-stage = moves "/" time [sep rule]
    sep      = "," | ";" | ":", with spaces around it, or spaces; none before "+"
    sgf      = "TM[" seconds "]" and over in either order, or one of them
    over     = "OT[" overtime "]" | "TC[" periods "]TT[" seconds "]"
    overtime = periods "x" seconds "byo-yomi" | moves "/" seconds "Canadian" | seconds ("fischer" | "simple")

Small and large letters are the same. A text that begins with `pgn ` is PGN, and so is one of a form that only
PGN has. A time alone, a time with an increment, or stages are also PGN if the first time is a whole number of
at least 180 and no `|` is in the text. A text of stages with `,`, `;`, `G/` or `SD/` is one of US Chess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import Any, NoReturn

Json = dict[str, Any]

MINUTE, SECOND, DAY = 60_000, 1000, 86_400_000
MOST = 366 * DAY
PGN_FROM = 180
MOST_STAGES = 8
MOST_DIGITS = 12
MOST_CHARACTERS = 256
VULGAR = {"¼": Fraction(1, 4), "½": Fraction(1, 2), "¾": Fraction(3, 4)}


class Misread(Exception):
    """A text that is no time control.

    positions: from 1 on, the first character that does not fit, or else each number that is out of bounds
    """

    def __init__(self, *positions: int) -> None:
        super().__init__(f"at {positions}")
        self.positions = sorted(set(positions))


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a text, and the position at which it begins."""

    value: Fraction
    position: int

    def ms(self, unit: int) -> int:
        """So many minutes or seconds in ms, rounded down."""
        return int(self.value * unit)


@dataclass(slots=True)
class Text:
    """A text, and how far it has been read. `wrong` has the positions of numbers that are out of bounds."""

    text: str
    at: int = 0
    wrong: list[int] = field(default_factory=list)

    @property
    def rest(self) -> str:
        """What has not been read."""
        return self.text[self.at :]

    def misread(self) -> NoReturn:
        """Refuse the next character."""
        raise Misread(self.at + 1)

    def take(self, pattern: str) -> str | None:
        """Go on after the pattern if it comes next. Returns what it matched."""
        found = re.compile(pattern, re.ASCII).match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def need(self, pattern: str) -> None:
        """Go on after the pattern, which has to come next."""
        if self.take(pattern) is None:
            self.misread()

    def plus(self, *, strict: bool = False) -> bool:
        """Go on after a plus, or `|`, with the spaces around it."""
        return self.take(r" *\+ *" if strict else r" *[+|] *") is not None

    def whole(self) -> Number:
        """Read digits."""
        return self._number(r"[0-9]+")

    def decimal(self) -> Number:
        """Read digits that may have a point."""
        return self._number(r"[0-9]+(?:\.[0-9]*)?")

    def minutes(self) -> Number:
        """Read minutes, which may have a point or end with a quarter."""
        position = self.at + 1
        with_quarters = re.compile(r"([0-9]*)([¼½¾])").match(self.text, self.at)
        if with_quarters is None or len(with_quarters[1]) > MOST_DIGITS:
            return self.decimal()
        self.at = with_quarters.end()
        return Number(int(with_quarters[1] or "0") + VULGAR[with_quarters[2]], position)

    def _number(self, pattern: str) -> Number:
        position = self.at + 1
        found = self.take(pattern)
        if found is None or len(found) > MOST_DIGITS:
            raise Misread(position)
        if found.endswith("."):
            self.misread()
        return Number(Fraction(found), position)

    def seconds(self) -> Number:
        """Read whole seconds. Decimals are refused where the number begins."""
        found = self.decimal()
        if "." in self.text[found.position - 1 : self.at]:
            raise Misread(found.position)
        return found

    def within(self, number: Number, value: int, low: int, high: int) -> int:
        """The value. If it is out of bounds, the position of its number is added to `wrong`."""
        if not low <= value <= high:
            self.wrong.append(number.position)
        return value

    def many(self, number: Number) -> int:
        """A number of moves or periods."""
        return self.within(number, int(number.value), 1, 1000)

    def time(self, number: Number, unit: int = SECOND, low: int = 0) -> int:
        """A number of minutes or seconds in ms."""
        return self.within(number, number.ms(unit), low, MOST)

    def end(self) -> None:
        """Refuse characters that are left."""
        if self.rest:
            self.misread()


def read(text: str, overtime_ms: int = 0) -> tuple[Json, int | None, str]:
    """Read a time control. Returns it as an object, its bank in ms, and the normal form of the text.

    The bank is None for stages, which have it themselves, and for a clock without end. Raises Misread.

    overtime_ms: that of the control, which is not in the text. With some of it a bank may be 0
    """
    if len(text) > MOST_CHARACTERS:
        raise Misread(MOST_CHARACTERS + 1)
    reader = Text(text.translate(_SMALL))
    control, bank, only_increment = _read(reader)
    if bank is not None:
        ms = bank.ms(SECOND)
        if (0 < ms < SECOND or ms > MOST) or (
            ms == 0 and not reader.wrong and not overtime_ms and not _after_bank(control)
        ):
            reader.wrong.append(bank.position)
    if reader.wrong:
        raise Misread(*reader.wrong)
    ms_or_none = None if bank is None else bank.ms(SECOND)
    return control, ms_or_none, write(control, ms_or_none, only_increment=only_increment)


_SMALL = {large: large + 32 for large in range(ord("A"), ord("Z") + 1)}


def _after_bank(control: Json) -> bool:
    """Whether a clock with this control has time when its bank is 0."""
    kind = control["kind"]
    return kind in {"byoyomi", "canadian"} or (kind == "delay" and control["delay_ms"] > 0)


def _in_seconds(number: Number, unit: int) -> Number:
    return Number(Fraction(number.ms(unit), SECOND), number.position)


def _read(reader: Text) -> tuple[Json, Number | None, bool]:
    """The control, its bank in seconds, and whether an increment is all that follows the bank."""
    pgn = reader.take(r"pgn ") is not None
    if reader.take(r"-"):
        reader.end()
        return {"kind": "none"}, None, False
    if reader.take(r"\*"):
        bank = _in_seconds(reader.decimal(), SECOND)
        reader.end()
        return {"kind": "hourglass"}, bank, False
    if not pgn and reader.take(r"hourglass "):
        bank = _in_seconds(reader.minutes(), MINUTE)
        reader.end()
        return {"kind": "hourglass"}, bank, False
    if re.match(r"[0-9]+/", reader.rest):
        if not pgn and re.search(r"[,;]|sd/|g/", reader.text):
            return _us_stages(reader), None, False
        return _stages(reader, pgn=pgn), None, False
    if pgn:
        return _pgn_clock(reader)
    if reader.take(r"g/|sd/"):
        return _us_game(reader)
    if re.match(r"[to][mtc]\[", reader.rest):
        return _sgf(reader)
    return _clock(reader)


def _only_pgn(reader: Text, first: str) -> bool:
    """Whether the first time, where the text goes on with it, can only be PGN's seconds."""
    found = re.match(r"([0-9]+)(?![0-9.¼½¾])", first)
    return found is not None and int(found[1]) >= PGN_FROM and "|" not in reader.text


def _pgn_clock(reader: Text) -> tuple[Json, Number, bool]:
    bank = reader.decimal()
    increment = reader.decimal() if reader.plus(strict=True) else None
    reader.end()
    control = {"kind": "fischer", "increment_ms": 0 if increment is None else reader.time(increment)}
    return control, bank, increment is not None


def _clock(reader: Text) -> tuple[Json, Number, bool]:
    """Read a time, and how it is spent."""
    seconds_if_simple = _only_pgn(reader, reader.rest)
    main = reader.minutes()
    simple_unit = SECOND if seconds_if_simple else MINUTE
    if letter := reader.take(r"[db]"):
        kind = "delay" if letter == "d" else "bronstein"
        control: Json = {"kind": kind, "delay_ms": reader.time(reader.seconds())}
    elif reader.plus():
        added = _added(reader, main, pgn=seconds_if_simple)
        if added["kind"] == "fischer":
            reader.end()
            return added, _in_seconds(main, simple_unit), True
        control = added
    else:
        reader.end()
        return {"kind": "fischer", "increment_ms": 0}, _in_seconds(main, simple_unit), False
    reader.end()
    return control, _in_seconds(main, MINUTE), False


def _added(reader: Text, main: Number, *, pgn: bool) -> Json:
    """Read an increment, periods, both, or a block of moves, after the plus."""
    start = reader.at
    first = reader.decimal()
    decimals = "." in reader.text[start : reader.at]
    if reader.plus():
        if decimals:
            raise Misread(first.position)
        increment_ms = reader.time(first)
        periods = reader.whole()
        reader.need("x")
        many = reader.many(periods)
        control: Json = {"kind": "byoyomi", "periods": many, "period_ms": _period(reader)}
        return control | ({"increment_ms": increment_ms} if increment_ms else {})
    sign = reader.take(r"[x/]")
    if decimals and (sign or not pgn):
        raise Misread(first.position)
    if sign is None:
        return {"kind": "fischer", "increment_ms": reader.time(first)}
    many = reader.many(first)
    period_ms = _period(reader)
    if sign == "x":
        return {"kind": "byoyomi", "periods": many, "period_ms": period_ms}
    if main.ms(MINUTE) > 0:
        _refuse_haste(many, period_ms, first.position)
    return {"kind": "canadian", "moves": many, "period_ms": period_ms}


def _period(reader: Text) -> int:
    return reader.time(reader.seconds(), low=1)


def _refuse_haste(moves: int, period_ms: int, position: int) -> None:
    """Refuse a block of less than two seconds a move: nobody can mean it."""
    if 0 < period_ms < 2 * SECOND * moves:
        raise Misread(position)


def _stages(reader: Text, *, pgn: bool) -> Json:
    """Read stages. In minutes an increment that only the last one has holds for all."""
    strict = pgn
    pgn = pgn or _only_pgn(reader, reader.rest.partition("/")[2])
    stages: list[Json] = []
    while True:
        stage: Json = {}
        if re.match(r"[0-9]+/", reader.rest):
            stage["moves"] = reader.many(reader.whole())
            reader.need("/")
        low = 0 if stages else SECOND
        time = reader.decimal() if pgn else reader.minutes()
        stage |= {"time_ms": reader.time(time, SECOND if pgn else MINUTE, low), "kind": "fischer"}
        if reader.plus(strict=strict):
            stage["increment_ms"] = reader.time(reader.decimal() if pgn else reader.seconds())
        stages.append(stage)
        if "moves" not in stage or reader.take(":") is None:
            break
        if len(stages) == MOST_STAGES:
            reader.misread()
    reader.end()
    shared = 0
    if not pgn and not any("increment_ms" in stage for stage in stages[:-1]):
        shared = stages[-1].get("increment_ms", 0)
    return _staged([{"increment_ms": shared} | stage for stage in stages])


def _staged(stages: list[Json]) -> Json:
    again = {"repeat": True} if "moves" in stages[-1] else {}
    return {"kind": "stages", "stages": stages} | again


def _us_rule(reader: Text, *, after_separator: bool) -> Json | None:
    """Read the delay or the increment of US Chess, if it comes next."""
    words = reader.take(r"d|inc|\+ *" if after_separator else r"\+ *")
    if words is None:
        return None
    ms = reader.time(reader.seconds())
    return {"kind": "delay", "delay_ms": ms} if words == "d" else {"kind": "fischer", "increment_ms": ms}


US_SEPARATOR = r" *[,;:] *| +"


def _us_game(reader: Text) -> tuple[Json, Number, bool]:
    main = _in_seconds(reader.minutes(), MINUTE)
    separated = reader.take(US_SEPARATOR) is not None
    rule = _us_rule(reader, after_separator=separated)
    if separated and rule is None:
        reader.misread()
    reader.end()
    if rule is None:
        return {"kind": "fischer", "increment_ms": 0}, main, False
    return rule, main, rule["kind"] == "fischer"


def _us_stages(reader: Text) -> Json:
    stages: list[Json] = []
    rules: list[Json | None] = []
    going_on = True
    while going_on:
        stage: Json = {}
        low = 0 if stages else SECOND
        if reader.take(r"sd/|g/"):
            going_on = False
        else:
            stage["moves"] = reader.many(reader.whole())
            reader.need("/")
        time = reader.minutes()
        ms = reader.time(time, MINUTE, low)
        # 40/2, SD/1 may be hours: nobody can mean less than five seconds a move in a tournament.
        halves = ms >= MINUTE and ms % (MINUTE // 2) == 0
        if going_on and halves and stage["moves"] >= 10 and ms < 5 * SECOND * stage["moves"]:
            raise Misread(time.position)
        stages.append(stage | {"time_ms": ms})
        separated = reader.take(US_SEPARATOR) is not None
        rule = _us_rule(reader, after_separator=separated)
        rules.append(rule)
        if not going_on:
            if separated and rule is None:
                reader.misread()
        elif separated and rule is None:
            pass
        elif reader.take(US_SEPARATOR) is None:
            going_on = False
        if going_on and len(stages) == MOST_STAGES:
            reader.misread()
    reader.end()
    shared = rules[-1] if not any(rules[:-1]) else None
    nothing: Json = {"kind": "fischer", "increment_ms": 0}
    return _staged([stage | (rule or shared or nothing) for stage, rule in zip(stages, rules, strict=True)])


def _sgf(reader: Text) -> tuple[Json, Number, bool]:
    """Read the main time and the overtime of SGF, in seconds."""
    bank: Number | None = None
    begins = 0
    control: Json | None = None
    moves = 0
    while reader.rest or (bank is None and control is None):
        reader.take(r" *")
        if bank is None and reader.take(r"tm\["):
            bank = reader.decimal()
        elif control is None and reader.take(r"ot\["):
            begins = reader.at - 2
            moves = reader.at + 1
            control = _sgf_overtime(reader)
        elif control is None and reader.take(r"tc\["):
            begins = reader.at - 2
            periods = reader.many(reader.whole())
            reader.need(r"\]")
            reader.need(r"tt\[")
            control = {"kind": "byoyomi", "periods": periods, "period_ms": _period(reader)}
        else:
            reader.misread()
        reader.need(r"\]")
    main = Number(Fraction(0), begins) if bank is None else bank
    found = control or {"kind": "fischer", "increment_ms": 0}
    if found["kind"] == "canadian" and main.ms(SECOND) > 0:
        _refuse_haste(found["moves"], found["period_ms"], moves)
    return found, main, control is not None and found["kind"] == "fischer"


def _sgf_overtime(reader: Text) -> Json:
    first = reader.whole()
    sign = reader.take(r"[x/]")
    if sign == "x":
        periods = reader.many(first)
        period_ms = _period(reader)
        _word(reader, "byo-yomi", "byoyomi")
        return {"kind": "byoyomi", "periods": periods, "period_ms": period_ms}
    if sign == "/":
        moves = reader.many(first)
        period_ms = _period(reader)
        _word(reader, "canadian")
        return {"kind": "canadian", "moves": moves, "period_ms": period_ms}
    if _word(reader, "simple", "fischer") == "simple":
        return {"kind": "byoyomi", "periods": 1, "period_ms": reader.time(first, low=1)}
    return {"kind": "fischer", "increment_ms": reader.time(first)}


def _word(reader: Text, *words: str) -> str:
    """Read one of the words, after spaces."""
    reader.take(r" *")
    found = reader.take("|".join(words))
    if found is None:
        reader.misread()
    return found


def write(control: Json, bank: int | None, *, only_increment: bool = False) -> str:
    """The normal form of a control. Minutes are the shortest decimal that gives the same ms.

    only_increment: whether an increment of 0 is written
    """
    kind = control["kind"]
    if kind == "none":
        return "-"
    if kind == "stages":
        return _write_stages(control["stages"])
    assert bank is not None
    match kind:
        case "delay" | "bronstein":
            return f"{minutes(bank)}{kind[0]}{seconds(control['delay_ms'])}"
        case "byoyomi":
            increment = f"+{seconds(control['increment_ms'])}" if "increment_ms" in control else ""
            return f"{minutes(bank)}{increment}+{control['periods']}x{seconds(control['period_ms'])}"
        case "canadian":
            return f"{minutes(bank)}+{control['moves']}/{seconds(control['period_ms'])}"
        case "hourglass":
            return f"hourglass {minutes(bank)}"
    increment_ms = control["increment_ms"]
    if increment_ms % SECOND:
        return f"pgn {seconds(bank)}+{seconds(increment_ms)}"
    written = f"+{seconds(increment_ms)}" if increment_ms or only_increment else ""
    return no_pgn(minutes(bank)) + written


def _write_stages(stages: list[Json]) -> str:
    rules: list[tuple[str, int]] = [
        (stage["kind"], stage["delay_ms" if stage["kind"] == "delay" else "increment_ms"]) for stage in stages
    ]
    nothing = ("fischer", 0)
    if any(kind == "fischer" and ms % SECOND for kind, ms in rules):
        return "pgn " + ":".join(
            _moves(stage) + seconds(stage["time_ms"]) + (f"+{seconds(ms)}" if ms else "")
            for stage, (_, ms) in zip(stages, rules, strict=True)
        )
    shared = len(set(rules)) == 1
    us = any(kind == "delay" for kind, _ in rules)
    texts = []
    for i, (stage, rule) in enumerate(zip(stages, rules, strict=True)):
        time = minutes(stage["time_ms"])
        silent = rule == nothing if i == len(stages) - 1 else shared
        if us:
            sign = "d" if rule[0] == "delay" else "inc"
            written = "" if silent else f";{sign}{seconds(rule[1])}"
            texts.append((_moves(stage) or "SD/") + time + written)
        else:
            written = "" if silent else f"+{seconds(rule[1])}"
            texts.append(_moves(stage) + (time if i else no_pgn(time)) + written)
    return ("," if us else ":").join(texts)


def _moves(stage: Json) -> str:
    return f"{stage['moves']}/" if "moves" in stage else ""


def minutes(ms: int) -> str:
    """The shortest decimal of minutes that gives `ms` when rounded down; of several, the smallest."""
    for places in count():
        scaled = -(-ms * 10**places // MINUTE)
        if scaled * MINUTE // 10**places == ms:
            break
    digits = str(scaled).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def seconds(ms: int) -> str:
    """The shortest decimal of seconds."""
    whole, rest = divmod(ms, SECOND)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


def no_pgn(time: str) -> str:
    """The text of a first time. It gets a decimal if it would be read as PGN's seconds: 300.0."""
    return f"{time}.0" if time.isdigit() and int(time) >= PGN_FROM else time
