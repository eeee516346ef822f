"""The picture of a session in a terminal: the running clock in big digits, whose turn it is, last changes.

`draw` is a pure function of a view and of the terminal's size. It also returns for how long the picture stays
correct, so that it does not have to be drawn again before that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from synckairos.client import ClockFace, Group, Participant, State
from synckairos.watch import words

FOR_EVER = math.inf
WARN_MS, URGENT_MS = 20_000, 10_000
"""Below these times a clock is yellow and red, if the session has no warnings."""
BIG_FROM_ROWS = 20
"""On terminals with fewer rows there are no big digits."""
UNTIL_END = "until the end"
"""The note of a clock that shows how long it is until the session's end."""
SUMMARY_ROWS = 12
"""How many rows for clocks the summary at the end has."""

_GLYPHS = {
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": ("  #", "  #", "  #", "  #", "  #"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", "  #", "  #", "  #"),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    ":": (" ", "#", " ", "#", " "),
    ".": (" ", " ", " ", " ", "#"),
    "-": ("  ", "  ", "##", "  ", "  "),
    "d": ("  #", "  #", "###", "# #", "###"),
    " ": ("  ", "  ", "  ", "  ", "  "),
}
_BIG_ROWS = 5

Owner = Participant | Group

_LEVELS = {"calm": "bold", "warn": "bold yellow", "urgent": "bold red", "out": "bold white on red"}
_STATUS_STYLES = {"running": "bold green", "paused": "bold cyan", "expired": "bold red", "pending": "bold"}
_CONNECTION_STYLES = {"live": "green", "connecting": "yellow", "reconnecting": "yellow", "closed": "red"}


class Clocks(Protocol):
    """The clocks of a session now. owner: a participant or group (by id); None for the clock that runs."""

    def clock(self, owner: str | None = None) -> ClockFace | None:
        """The face; None when there is no such clock, or its time is not known."""

    def elapsed(self, owner: str | None = None) -> float | None:
        """Milliseconds of the current cycle, in `count_up` of the session; for an owner all that it used."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a picture is made of.

    now_ms: the server's time; None while it is not known
    changes: lines of text, the newest last
    notice: a message for the user; may be empty
    stale_ms: how old the state may be, while there is no primary and it comes from a replica; else None
    """

    state: State
    clocks: Clocks
    connection: str
    now_ms: float | None
    uncertainty_ms: float
    changes: Sequence[Text]
    notice: str = ""
    stale_ms: int | None = None


@dataclass(slots=True)
class Shown:
    """A clock face as text.

    text: the number to show
    note: further words, as in "2 periods left"
    level: how short the time is, a key of _LEVELS
    right_for_ms: how long this stays correct
    """

    text: str
    note: str
    level: str
    right_for_ms: float


def face(state: State, clock: ClockFace | None, used_ms: float) -> Shown:
    """The text for a clock of any time control. For a clock without end it is the time used."""
    if clock is None:
        return Shown(words.NO_TIME, "", "calm", FOR_EVER)
    if clock.ends_first and state.sync_mode != "count_up":
        # The session's end also comes closer while its clock stands.
        left = clock.ends_in_ms or 0.0
        right_for = words.until_next(left) if left else FOR_EVER
        return Shown(words.clock(left), UNTIL_END, _level(state, left), right_for)
    if clock.remaining_ms is None or clock.main_ms is None or state.sync_mode == "count_up":
        level = "calm" if clock.remaining_ms is None else _level(state, clock.remaining_ms)
        return _shown(clock, used_ms, [], level, [], count_up=True)
    left = clock.remaining_ms
    ms, notes, level = _main(state, clock, clock.main_ms)
    if clock.delay_ms:
        delay = words.clock(clock.delay_ms) if clock.running else words.duration(clock.delay_ms)
        notes.append(f"delay {delay}")
        # While the delay runs, the bank does not change.
        return _shown(clock, ms, notes, level, [clock.delay_ms])
    if left < 0:
        return _shown(clock, left, ["overtime"], "urgent", [left])
    if clock.overtime_ms:
        notes.append(f"overtime used: {words.clock(clock.overtime_ms, count_up=True)}")
    return _shown(clock, ms, notes, level, [ms])


def _shown(
    clock: ClockFace, ms: float, notes: list[str], level: str, moving: list[float], *, count_up: bool = False
) -> Shown:
    """moving: the times (ms) in this text that go down while the clock runs."""
    if clock.expired:
        notes, level = ["out of time"], "out"
    changes = [words.until_next(each) for each in moving]
    if count_up:
        changes.append(words.until_next(ms, count_up=True))
    right_for = min(changes, default=FOR_EVER) if clock.running else FOR_EVER
    return Shown(words.clock(ms, count_up=count_up), ", ".join(notes), level, right_for)


def _main(state: State, clock: ClockFace, ms: float) -> tuple[float, list[str], str]:
    """The time to show (ms), the notes and the level, depending on stage, periods and block."""
    notes = []
    level = _level(state, clock.remaining_ms or 0)
    if clock.stage is not None and clock.moves_left is not None and clock.block_remaining_ms is None:
        notes.append(f"{_moves(clock.moves_left)} to the next stage")
    if clock.periods_left and clock.period_ms:
        if ms > 0:
            return ms, [*notes, f"then {clock.periods_left} x {words.duration(clock.period_ms)}"], level
        ms, last = clock.period_remaining_ms or 0.0, clock.periods_left == 1
        notes.append("last period" if last else f"{clock.periods_left} periods left")
        return ms, notes, _level(state, ms) if last else "calm"
    if clock.block_remaining_ms is not None:
        moves = _moves(clock.moves_left or 0)
        if ms > 0:
            return ms, [*notes, f"then {moves} in {words.clock(clock.block_remaining_ms)}"], level
        return clock.block_remaining_ms, [*notes, f"{moves} to make"], level
    return ms, notes, level


def _level(state: State, ms: float) -> str:
    # A warning at zero or in overtime is a bell, and does not say when time is short.
    warn = max((each for each in state.warnings_ms if each > 0), default=WARN_MS)
    if ms <= min(URGENT_MS, warn / 2):
        return "urgent"
    return "warn" if ms <= warn else "calm"


def _moves(count: int) -> str:
    return f"{count} move{'' if count == 1 else 's'}"


def draw(view: View, width: int, height: int) -> tuple[RenderableType, float]:
    """The picture, which is at most of this size, and how many ms it stays correct."""
    return _Picture(view, width, height).draw()


class _Picture:
    """Makes one picture."""

    def __init__(self, view: View, width: int, height: int) -> None:
        self.view, self.state = view, view.state
        self.width, self.height = width, height
        self.right_for = FOR_EVER

    def draw(self) -> tuple[RenderableType, float]:
        top = self._header() + self._middle()
        bottom = self._footer()
        room = max(0, self.height - len(top) - len(bottom) - 1)
        owners = self._owners()
        # The changes get a third of the rows, and those that the clocks do not need.
        for_clocks = min(len(owners) + 1, max(room - max(4, room // 3), 2)) if owners else 0
        rows = self._rows(owners, for_clocks)
        news = self._news(room - len(rows) - 1)
        filling = [Text("")] * max(0, room - len(rows) - len(news))
        lines = [*top, *rows, Text(""), *news, *filling, *bottom][: self.height]
        for line in lines:
            line.truncate(self.width, overflow="ellipsis")
            line.no_wrap = True
        return Lines(*lines), self.right_for

    def summary(self) -> RenderableType:
        rows = self._rows(self._owners(), SUMMARY_ROWS)
        news = self._news(1)
        lines = [*self._header(), *rows, Text(""), *news]
        for line in lines:
            line.truncate(self.width, overflow="ellipsis")
        return Lines(*lines)

    def _face(self, owner_id: str | None) -> Shown:
        clock = self.view.clocks.clock(owner_id)
        whose = owner_id if clock is None or clock.owner_id is None else clock.owner_id
        shown = face(self.state, clock, self.view.clocks.elapsed(whose) or 0.0)
        self.right_for = min(self.right_for, shown.right_for_ms)
        return shown

    def _header(self) -> list[Text]:
        state = self.state
        status = words.STATUSES.get(state.status, words.plain(state.status))
        details = [words.MODES.get(state.sync_mode, words.plain(state.sync_mode)), words.control(state)]
        if state.cycle_count:
            details.append(f"{state.cycle_count} turn{'' if state.cycle_count == 1 else 's'} taken")
        if state.pauses_left is not None:
            details.append(f"{state.pauses_left} pause{'' if state.pauses_left == 1 else 's'} left")
        if len(state.participants) > 2:
            details.append(f"{len(state.participants):,} participants")
        return [
            self._ends(
                Text(words.title(state), "bold"), Text(status, _STATUS_STYLES.get(state.status, "bold"))
            ),
            self._ends(
                Text(", ".join(filter(None, details)), "dim"), Text(f"version {state.version}", "dim")
            ),
            Text(""),
        ]

    def _ends(self, left: Text, right: Text) -> Text:
        """One line with a text at each end. The left text is cut if there is too little room."""
        room = max(0, self.width - right.cell_len - 2)
        left.truncate(room, overflow="ellipsis", pad=True)
        return Text.assemble(left, "  ", right)

    def _middle(self) -> list[Text]:
        """The running clock."""
        state = self.state
        if not state.is_live:
            return [Text(self._ended() + self._ahead(), "bold"), Text("")]
        shown = self._face(None)
        style = _LEVELS[shown.level] if state.status == "running" or shown.level == "out" else "cyan"
        whose = Text(self._whose(), "bold")
        if shown.note:
            whose.append(f"  {shown.note}", "yellow" if shown.level == "calm" else _LEVELS[shown.level])
        if state.status == "paused":
            whose.append(f"  {self._pause()}", "cyan")
        if shown.note != UNTIL_END:
            whose.append(self._end(), "dim")
        if self.height < BIG_FROM_ROWS:
            return [Text.assemble((shown.text, style), "  ", whose), Text("")]
        digits = [Text("  ").append(row, style) for row in _big(shown.text, self.width - 4)]
        return [*digits, Text(""), Text("  ").append_text(whose), Text("")]

    def _whose(self) -> str:
        state = self.state
        active = words.name(state, state.active_participant_id)
        if state.sync_mode == "per_group" and state.active_group_id is not None:
            return f"{words.name(state, state.active_group_id)}: {active}"
        return active

    def _pause(self) -> str:
        """The text for a pause, with its end if it ends by itself."""
        left = self._until(self.state.resumes_at_ms)
        return "paused" if left is None else f"paused, goes on in {left}"

    def _until(self, instant: int | None) -> str | None:
        """How long it is until a server time; None where there is none, or the time is not known."""
        now = self.view.now_ms
        if instant is None or now is None:
            return None
        left = max(0.0, instant - now)
        self.right_for = min(self.right_for, words.until_next(left) if left else FOR_EVER)
        return words.clock(left)

    def _ahead(self) -> str:
        """When a session that has not started will start and end by itself; may be empty."""
        if self.state.status != "pending":
            return ""
        starts = self._until(self.state.starts_at_ms)
        return (f" Starts in {starts}." if starts is not None else "") + self._end()

    def _end(self) -> str:
        """How long it is until the session ends by itself; may be empty."""
        ends = self._until(self.state.ends_at_ms)
        return "" if ends is None else f"  ends in {ends}"

    def _ended(self) -> str:
        state = self.state
        if state.status == "pending":
            return f"Not started yet; {words.name(state, self._first())} begins."
        out = [
            words.name(state, each.id) for each in (*state.groups, *state.participants) if each.has_expired
        ]
        said = {"expired": "Time is up", "completed": "Completed", "cancelled": "Cancelled"}
        who = f" for {out[0]}" if len(out) == 1 and state.status == "expired" else ""
        return f"{said.get(state.status, words.plain(state.status))}{who}."

    def _first(self) -> str | None:
        first = min(self.state.participants, key=lambda each: each.participant_index, default=None)
        return self.state.active_participant_id or (first.participant_id if first else None)

    def _owners(self) -> Sequence[Owner]:
        """The groups or participants that get a row, in rotation: groups when they own the clocks."""
        if self.state.sync_mode == "per_group":
            return list(self.state.groups)
        return sorted(self.state.participants, key=_index)

    def _rows(self, owners: Sequence[Owner], room: int) -> list[Text]:
        """A heading and as many rows as fit. They include the active row and its neighbours."""
        if room < 2:
            return []
        first, count = _window(len(owners), self._active_place(owners), room - 1)
        shown = owners[first : first + count]
        own_clocks = self.state.sync_mode in ("per_participant", "per_group")
        heading = ["", "", "left" if own_clocks else "", "used", "turns", ""]
        cells = [heading, *(self._cells(owner, own_clocks) for owner in shown)]
        if count < len(owners):
            cells[0][5] = f"{first + 1:,} to {first + count:,} of {len(owners):,}"
        widths = [max(len(row[column]) for row in cells) for column in range(6)]
        # When there is too little room, the name is cut first, down to a few letters.
        others = sum(widths) - widths[1] + 2 * 5 + 2
        widths[1] = max(8, min(widths[1], self.width - others))
        styles = ["dim", *(self._row_style(owner) for owner in shown)]
        return [_line(row, widths, style) for row, style in zip(cells, styles, strict=True)]

    def _active_place(self, owners: Sequence[Owner]) -> int:
        active = (
            self.state.active_group_id
            if self.state.sync_mode == "per_group"
            else self.state.active_participant_id
        )
        return next((place for place, owner in enumerate(owners) if owner.id == active), 0)

    def _cells(self, owner: Owner, own_clocks: bool) -> list[str]:
        used = self.view.clocks.elapsed(owner.id) or owner.time_used_ms
        left = note = ""
        if own_clocks:
            shown = self._face(owner.id)
            left, note = shown.text, shown.note
        elif owner.is_active and self.state.status == "running":
            self.right_for = min(self.right_for, words.until_next(used, count_up=True))
        if owner.has_expired:
            note = "out of time"
        return [
            ">" if owner.is_active else "",
            words.name(self.state, owner.id),
            left,
            words.clock(used, count_up=True),
            str(owner.cycle_count),
            note,
        ]

    def _row_style(self, owner: Owner) -> str:
        if owner.has_expired:
            return "red"
        return "bold" if owner.is_active else ""

    def _news(self, room: int) -> list[Text]:
        """The newest changes, the newest at the bottom."""
        if room < 1:
            return []
        return [line.copy() for line in self.view.changes[-room:]]

    def _footer(self) -> list[Text]:
        view = self.view
        connection = Text(view.connection, _CONNECTION_STYLES.get(view.connection, ""))
        connection.append(f"  {words.uncertainty(view.uncertainty_ms)}", "dim")
        if view.connection == "reconnecting":
            connection.append("  the clocks go on by themselves", "dim")
        if view.stale_ms is not None:
            connection.append(f"  from a replica, up to {view.stale_ms / 1000:g} s old", "yellow")
        notices = [text for text in (view.notice, view.state.warning or "") if text]
        return [
            *(Text(words.plain(text), "yellow") for text in notices),
            self._ends(connection, Text("Ctrl-C ends", "dim")),
        ]


def _index(owner: Participant) -> int:
    return owner.participant_index


def _window(count: int, active: int, room: int) -> tuple[int, int]:
    """The first of the rows to show, and how many. A third of them are before the active row."""
    room = min(count, room)
    return max(0, min(active - room // 3, count - room)), room


def _line(cells: list[str], widths: list[int], style: str) -> Text:
    """A row of the table: mark and name aligned to the left, numbers to the right, the note last."""
    line = Text("", style)
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = Text(cell)
        text.truncate(width, overflow="ellipsis")
        padding = " " * max(0, width - text.cell_len)
        line.append(f"{padding}{text}  " if place in (2, 3, 4) else f"{text}{padding}  ")
    line.rstrip()
    return line


def _big(text: str, width: int) -> list[str]:
    """The text in big digits of five rows, as wide as fits; plain text when nothing else fits."""
    for across in (2, 1):
        rows = [
            (" " * across).join(
                _GLYPHS[character][row].replace("#", "█" * across).replace(" ", " " * across)
                for character in text
            )
            for row in range(_BIG_ROWS)
        ]
        if all(len(row) <= width for row in rows):
            return rows
    return ["", "", text, "", ""]


def summary(view: View, width: int) -> RenderableType:
    """The summary that stays on the terminal: title, status, and the time of each clock."""
    return _Picture(view, width, 0).summary()
