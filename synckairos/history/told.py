"""What sockets were told, against what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from synckairos.history.events import Place
from synckairos.history.findings import Finding, Kind
from synckairos.history.lines import Message, Socket
from synckairos.history.truth import History, digest

Judgement = Literal["true", "rewritten", "replaced", "phantom", "not known"]
"""`replaced`: it happened or may have happened, and a newer epoch does not have it."""


class _Payload(msgspec.Struct, frozen=True):
    event: str | None = None


class Told(msgspec.Struct, frozen=True):
    """A message of the server, with the members that are judged.

    stale: there only when the state came from a replica, because there was no primary
    """

    type: str
    version: int = 0
    epoch: str | None = None
    server_time_ms: int = 0
    payload: _Payload = _Payload()
    stale: dict[str, int] | None = None

    @property
    def place(self) -> Place | None:
        """What it says: an event, or a state; None for other messages."""
        if self.epoch is None or not (self.is_event or self.type == STATE):
            return None
        return Place(int(self.epoch), self.version)

    @property
    def is_event(self) -> bool:
        """Whether it is an event of the session."""
        return self.payload.event is not None and self.type != STATE


STATE = "STATE_SYNC"
decode_told = msgspec.json.Decoder(Told).decode


class Epochs:
    """When somebody was first told of each epoch of a session, on the recorder's clock."""

    def __init__(self) -> None:
        self._first_ms: dict[str, dict[int, float]] = {}

    def seen(self, session_id: str, epoch: int, at_ms: float) -> None:
        """Somebody was told of an epoch."""
        first = self._first_ms.setdefault(session_id, {})
        first[epoch] = min(at_ms, first.get(epoch, at_ms))

    def newer_than(self, history: History, epoch: int) -> tuple[float | None, int | None]:
        """When an epoch that is newer than `epoch` was first told of, and when it began on the server.

        Only epochs that the true history has are of interest: what a lost epoch said, counts for nothing.
        """
        newer = [each for each in history.begins if each > epoch]
        first = self._first_ms.get(history.session_id, {})
        told = [first[each] for each in newer if each in first]
        return (
            min(told) if told else None,
            min((history.begins[each].server_time_ms for each in newer), default=None),
        )


def judge(
    history: History, told: Told, text: bytes, at_ms: float, epochs: Epochs, *, faults: bool
) -> Judgement:
    """Whether an event or a state that a socket was told is true.

    text: the message; faults: whether there was a fault, so that changes may be lost
    """
    place = told.place
    assert place is not None
    if place in history.digests and told.is_event and history.digests[place] != digest(text):
        return "rewritten"
    if place in history.traces:
        return "true"
    if not history.knows(place):
        return "not known"
    told_ms, began_ms = epochs.newer_than(history, place.epoch)
    if began_ms is None:  # no newer epoch replaced it: it is lost if it is newer than what is left
        return "replaced" if faults and place > history.last else "phantom"
    after = (told_ms is not None and at_ms > told_ms) or (told.is_event and told.server_time_ms > began_ms)
    return "phantom" if (after and told.stale is None) or not faults else "replaced"


class Ear:
    """What one socket has heard of its session since it was opened."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self._follows = False
        """Whether the next event has to be the one after `place`."""

    def hear(self, told: Told) -> tuple[Kind, str] | None:
        """Take in the next message. Returns what is wrong with its order."""
        if told.type == "RECONNECT_ACK":  # what was heard before is told again, as far as it was asked for
            self._follows = False
            if self.place is not None:
                self.place = Place(self.place.epoch, 0)
            return None
        place = told.place
        if place is None:
            return None
        wrong = self._wrong(told, place)
        if not (wrong and wrong[0] in ("told backwards", "told twice")):
            self.place = place
            self._follows = True
        return wrong

    def _wrong(self, told: Told, place: Place) -> tuple[Kind, str] | None:
        known = self.place
        if known is None:
            return None if told.type == STATE else ("told gap", "an event came before the state")
        heard = f"it knew version {known.version} of epoch {known.epoch}"
        if told.type == STATE:
            return ("told backwards", heard) if place < known and told.stale is None else None
        if place.epoch < known.epoch:
            return "told backwards", heard
        if place.epoch > known.epoch:
            return "told gap", f"{heard}, and got no state of the newer epoch"
        if place.version == known.version:
            return "told twice", heard
        if place.version < known.version:
            return "told backwards", heard
        if self._follows and place.version > known.version + 1:
            return "told gap", heard
        return None


class Sockets:
    """All sockets of all recordings."""

    def __init__(self, histories: Mapping[str, History], epochs: Epochs, *, faults: bool) -> None:
        self._histories = histories
        self._epochs = epochs
        self._faults = faults
        self._ears: dict[tuple[int, str], Ear] = {}
        self._lost: dict[tuple[str, Place], bytes] = {}
        """By place, what was told of events that a newer epoch replaced."""
        self.findings: list[Finding] = []
        self.rewritten: set[tuple[str, Place]] = set()
        self.messages = 0
        self.replaced: set[tuple[str, Place]] = set()
        self.not_known = 0
        self.opened = self.dropped = 0

    def socket(self, recording: int, line: Socket) -> None:
        """A socket was opened or closed."""
        if line.what == "opened":
            self.opened += 1
            self._ears[recording, line.socket] = Ear()
        elif line.code not in (None, 1000):
            self.dropped += 1

    def message(self, recording: int, message: Message, told: Told) -> None:
        """A socket was told something."""
        self.messages += 1
        place = told.place
        wrong = self._ears.setdefault((recording, message.socket), Ear()).hear(told)
        if place is None:
            return
        if wrong is not None:
            self._find(wrong[0], message, place, wrong[1])
        history = self._histories.get(message.session_id)
        if history is None:
            self.not_known += 1
            return
        text = bytes(message.message)
        match judge(history, told, text, message.at_ms, self._epochs, faults=self._faults):
            case "rewritten":
                self._rewritten(message, place, "it is not what the log or the audit has")
            case "phantom":
                self._find("phantom", message, place, told.payload.event or "a state")
            case "replaced":
                self.replaced.add((message.session_id, place))
                if told.is_event and self._lost.setdefault((message.session_id, place), text) != text:
                    self._rewritten(message, place, "another socket was told another event")
            case "not known":
                self.not_known += 1

    def _rewritten(self, message: Message, place: Place, text: str) -> None:
        if (message.session_id, place) not in self.rewritten:
            self.rewritten.add((message.session_id, place))
            self._find("rewritten", message, place, text)

    def _find(self, kind: Kind, message: Message, place: Place, text: str) -> None:
        self.findings.append(Finding(kind, message.session_id, *place, f"socket {message.socket}: {text}"))
