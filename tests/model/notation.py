"""Time controls as players write them: `5+3`, `40/90:30+30`, `10d5`, `hourglass 5`, and PGN's `300+3`.

`read` returns the control as an object, the bank, and the normal form of the text. All times are whole
milliseconds.

    time     = digits ["." digits], in minutes; in PGN digits, in seconds
    stage    = moves "/" time ["+" seconds] ":"
    plain    = time | time "+" seconds | time "d" seconds | time "b" seconds | time "+" periods "x" seconds
             | time "+" moves "/" seconds | stage... time ["+" seconds] | "hourglass " time
    pgn      = time ["+" seconds] | stage... time ["+" seconds] | "*" time | "-"

A text that begins with `pgn ` is PGN, and so is one of a form that only PGN has. A time with an increment, or
a text with stages, is also PGN if its first time is a whole number of at least 180.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Json = dict[str, Any]

MINUTE, SECOND, DAY = 60_000, 1000, 86_400_000
PGN_FROM = 180
MOST_STAGES = 8
MOST_CHARACTERS = 12


class Misread(Exception):
    """A text that is no time control.

    positions: from 1 on, the first character that does not fit, or else each number that is out of bounds
    """

    def __init__(self, *positions: int) -> None:
        super().__init__(f"at {positions}")
        self.positions = sorted(set(positions))


@dataclass(slots=True)
class Reader:
    """A text, how far it has been read, and the positions of numbers that are out of bounds."""

    text: str
    at: int = 0
    wrong: list[int] = field(default_factory=list)

    def skip(self, literal: str) -> bool:
        """Go on after the literal if it comes next. Returns whether it did."""
        found = self.text.startswith(literal, self.at)
        self.at += len(literal) if found else 0
        return found

    def digits(self) -> str:
        """Read one or more decimal digits."""
        end = self.at
        while end < len(self.text) and self.text[end] in "0123456789":
            end += 1
        if end == self.at:
            raise Misread(self.at + 1)
        found, self.at = self.text[self.at : end], end
        return found

    def within(self, value: int, low: int, high: int, position: int) -> int:
        """The value. If it is out of bounds, its position is added to `wrong`."""
        if not low <= value <= high:
            self.wrong.append(position)
        return value

    def number(self, *, decimals: bool = False) -> tuple[str, str]:
        """Read a number of at most 12 characters. Returns its digits before and after the point."""
        position = self.at + 1
        before = self.digits()
        point = decimals and self.skip(".")
        after = self.digits() if point else ""
        if len(before) + len(after) + point > MOST_CHARACTERS:
            raise Misread(position)
        return before, after

    def whole(self, low: int, high: int) -> int:
        """Read a whole number within bounds."""
        position = self.at + 1
        return self.within(int(self.number()[0]), low, high, position)

    def time(self, low: int, *, pgn: bool) -> int:
        """Read minutes, or PGN's seconds. Returns ms, from `low` to a day."""
        position = self.at + 1
        before, after = self.number(decimals=not pgn)
        unit = SECOND if pgn else MINUTE
        ms: int = int(before + after) * unit // 10 ** len(after)
        return self.within(ms, low, DAY, position)

    def end(self) -> None:
        """Raise Misread if characters are left, or a number was out of bounds."""
        if self.at < len(self.text):
            raise Misread(self.at + 1)
        if self.wrong:
            raise Misread(*self.wrong)


def read(text: str) -> tuple[Json, int | None, str]:
    """Read a time control. Returns it as an object, its bank in ms, and the normal form of the text.

    The bank is None for stages, which have it themselves, and for a clock without end. Raises Misread.
    """
    control, bank = _read(text)
    normal = write(control, bank)
    # A written increment of 0 stays in the normal form: 1+0.
    plain = control["kind"] == "fischer" and "+" not in normal
    return control, bank, f"{no_pgn(normal)}+0" if plain and "+" in text else normal


def _read(text: str) -> tuple[Json, int | None]:
    reader = Reader(text)
    pgn = reader.skip("pgn ")
    if reader.skip("-"):
        reader.end()
        return {"kind": "none"}, None
    pgn_hourglass = reader.skip("*")
    if pgn_hourglass or (not pgn and reader.skip("hourglass ")):
        bank = reader.time(SECOND, pgn=pgn_hourglass)
        reader.end()
        return {"kind": "hourglass"}, bank
    if _shape(text[reader.at :]) == "stages":
        return _staged(reader, pgn=pgn or _first_is_pgn(text.partition("/")[2])), None
    return _single(reader, pgn=pgn)


def _shape(rest: str) -> str:
    """Whether a text that begins with a number has stages or a single time."""
    after = rest.lstrip("0123456789")
    return "stages" if after.startswith("/") and after != rest else "single"


def _first_is_pgn(rest: str) -> bool:
    """Whether the text begins with a whole number that is read as PGN's seconds."""
    after = rest.lstrip("0123456789")
    digits = rest[: len(rest) - len(after)]
    return bool(digits) and not after.startswith(".") and int(digits) >= PGN_FROM


def _single(reader: Reader, *, pgn: bool) -> tuple[Json, int]:
    """Read one time, and how it is spent. Returns the control and its bank."""
    start = reader.at
    following = reader.text[start:].lstrip("0123456789")
    if not pgn and following.startswith("+") and following[1:].isascii() and following[1:].isdigit():
        pgn = _first_is_pgn(reader.text[start:])
    bank = reader.time(SECOND, pgn=pgn)
    control: Json = {"kind": "fischer", "increment_ms": 0}
    if not pgn and (reader.skip("d") or reader.skip("b")):
        kind = "delay" if reader.text[reader.at - 1] == "d" else "bronstein"
        control = {"kind": kind, "delay_ms": reader.whole(0, DAY // SECOND) * SECOND}
    elif reader.skip("+"):
        control = _added(reader, pgn=pgn)
    reader.end()
    return control, bank


def _added(reader: Reader, *, pgn: bool) -> Json:
    """Read an increment, periods, or a block of moves, after the plus."""
    start = reader.at
    reader.number()
    if not pgn and reader.text[reader.at : reader.at + 1] in {"x", "/"}:
        many = "periods" if reader.text[reader.at] == "x" else "moves"
        reader.at = start
        number = reader.whole(1, 1000)
        reader.at += 1
        period = reader.whole(1, DAY // SECOND) * SECOND
        kind = "byoyomi" if many == "periods" else "canadian"
        return {"kind": kind, many: number, "period_ms": period}
    reader.at = start
    return {"kind": "fischer", "increment_ms": reader.whole(0, 60) * SECOND}


def _staged(reader: Reader, *, pgn: bool) -> Json:
    """Read stages. Each but the last has moves. An increment that only the last has holds for all."""
    stages: list[Json] = []
    while True:
        here = reader.at
        last = _shape(reader.text[here:]) != "stages"
        if len(stages) == MOST_STAGES:
            reader.wrong.append(here + 1)
        stage: Json = {}
        if not last:
            stage["moves"] = reader.whole(1, 1000)
            reader.skip("/")
        stage |= {"time_ms": reader.time(0 if stages else SECOND, pgn=pgn), "kind": "fischer"}
        if reader.skip("+"):
            stage["increment_ms"] = reader.whole(0, 60) * SECOND
        stages.append(stage)
        if last:
            break
        if not reader.skip(":"):
            raise Misread(reader.at + 1)
    reader.end()
    shared = 0
    if not any("increment_ms" in stage for stage in stages[:-1]):
        shared = stages[-1].get("increment_ms", 0)
    return {"kind": "stages", "stages": [stage | _increment(stage, shared) for stage in stages]}


def _increment(stage: Json, shared: int) -> Json:
    return {"increment_ms": stage.get("increment_ms", shared)}


def write(control: Json, bank: int | None) -> str:
    """The normal form of a control. Minutes are the shortest decimal that gives the same ms."""
    kind = control["kind"]
    if kind == "none":
        return "-"
    if kind == "stages":
        return "".join(_stage_texts(control["stages"]))
    assert bank is not None
    match kind:
        case "delay" | "bronstein":
            return f"{minutes(bank)}{kind[0]}{control['delay_ms'] // SECOND}"
        case "byoyomi":
            return f"{minutes(bank)}+{control['periods']}x{control['period_ms'] // SECOND}"
        case "canadian":
            return f"{minutes(bank)}+{control['moves']}/{control['period_ms'] // SECOND}"
        case "hourglass":
            return f"hourglass {minutes(bank)}"
    seconds = control["increment_ms"] // SECOND
    return f"{no_pgn(minutes(bank))}+{seconds}" if seconds else minutes(bank)


def _stage_texts(stages: list[Json]) -> Iterator[str]:
    increments = [stage["increment_ms"] // SECOND for stage in stages]
    shared = len(set(increments)) == 1
    for i, stage in enumerate(stages):
        time = minutes(stage["time_ms"])
        if i < len(stages) - 1:
            yield f"{stage['moves']}/{time if i else no_pgn(time)}"
            yield ":" if shared else f"+{increments[i]}:"
        else:
            yield time
            yield f"+{increments[i]}" if increments[i] else ""


def minutes(ms: int) -> str:
    """The shortest decimal of minutes that gives `ms` when rounded down; of several, the smallest."""
    for places in count():
        scaled = -(-ms * 10**places // MINUTE)
        if scaled * MINUTE // 10**places == ms:
            break
    digits = str(scaled).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def no_pgn(time: str) -> str:
    """The text of a first time. It gets a decimal if it would be read as PGN's seconds: 300.0."""
    return f"{time}.0" if _first_is_pgn(time) else time
