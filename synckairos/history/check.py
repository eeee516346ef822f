"""Checks what callers and sockets were told against what happened. Nothing here asks a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from synckairos.history.answers import Answers, place_of
from synckairos.history.events import Place
from synckairos.history.faults import Faults
from synckairos.history.figures import Figures, Quantiles
from synckairos.history.findings import Finding
from synckairos.history.lines import Call, Fault, Line, Message, Socket
from synckairos.history.told import Epochs, Sockets, decode_told
from synckairos.history.truth import History, SessionTruth


class Report(msgspec.Struct):
    """The outcome: everything that must not happen and did, and the figures."""

    findings: list[Finding]
    figures: Figures

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def check(
    recordings: Sequence[Iterable[Line]],
    truths: Iterable[SessionTruth],
    *,
    complete: bool,
    may_lose_ms: float | None = None,
) -> Report:
    """Check recordings against the true history.

    recordings: each is read twice
    truths: the sessions to check; of others, recordings tell nothing that can be judged
    complete: whether a history has to begin with version 1, as it does when the audit store was read
    may_lose_ms: losses that were acknowledged so shortly before or after a fault began are counted only
    """
    figures = Figures()
    findings: list[Finding] = []
    histories: dict[str, History] = {}
    for truth in truths:
        if truth.moved:
            figures.moved += 1
            continue
        histories[truth.session_id] = history = History(truth, complete=complete)
        findings += history.findings
    calls: list[Call] = []
    fault_lines: list[Fault] = []
    epochs = Epochs()
    for recording in recordings:
        for each in recording:
            if isinstance(each, Call):
                calls.append(each)
                place = place_of(each)
                if place is not None:
                    epochs.seen(each.session_id, place.epoch, each.answered_ms)
            elif isinstance(each, Fault):
                fault_lines.append(each)
            elif isinstance(each, Message):
                told = decode_told(each.message)
                if told.place is not None:
                    epochs.seen(each.session_id, told.place.epoch, each.at_ms)
    calls.sort(key=lambda call: call.answered_ms)
    faults = Faults(fault_lines)
    acknowledged = [call for call in calls if call.outcome == "acknowledged"]
    faults.measure([(call.at_ms, call.answered_ms) for call in acknowledged])
    answers = Answers(calls, histories, faults, findings, figures, may_lose_ms=may_lose_ms)
    sockets = Sockets(histories, epochs, faults=bool(faults.outages))
    _follow_sockets(recordings, sockets, acknowledged, faults, figures)
    findings += sockets.findings
    figures.outages = faults.outages
    report = Report(findings, figures)
    _count(report, histories, calls, answers, sockets)
    return report


def _follow_sockets(
    recordings: Sequence[Iterable[Line]],
    sockets: Sockets,
    acknowledged: Sequence[Call],
    faults: Faults,
    figures: Figures,
) -> None:
    answered: dict[tuple[str, Place], float] = {}
    for call in acknowledged:
        place = place_of(call)
        if place is not None:
            answered.setdefault((call.session_id, place), call.answered_ms)
    delays: list[float] = []
    settled: list[float] = []
    for number, recording in enumerate(recordings):
        for each in recording:
            if isinstance(each, Socket):
                sockets.socket(number, each)
            elif isinstance(each, Message):
                told = decode_told(each.message)
                sockets.message(number, each, told)
                if told.is_event and told.place is not None:
                    moment = answered.get((each.session_id, told.place))
                    if moment is not None:
                        delays.append(each.at_ms - moment)
                        if faults.settled(moment):
                            settled.append(delays[-1])
    figures.delay = Quantiles.of(delays)
    figures.delay_settled = Quantiles.of(settled)


def _count(
    report: Report, histories: dict[str, History], calls: list[Call], answers: Answers, sockets: Sockets
) -> None:
    """Fill in the figures that are counts."""
    figures = report.figures
    outcomes = Counter(call.outcome for call in calls)
    figures.acknowledged = outcomes["acknowledged"]
    figures.refused = outcomes["refused"]
    figures.unknown = outcomes["unknown"]
    figures.sessions = len(histories)
    rewritten = answers.rewritten | sockets.rewritten
    late: list[float] = []
    for session_id, history in histories.items():
        figures.events += len(history.traces)
        figures.superseded += history.superseded
        figures.clocks_checked += history.clocks_checked
        late += history.late_ms
        rewritten |= {(session_id, place) for place in history.rewritten}
    figures.expiries = len(late)
    figures.late = Quantiles.of(late)
    figures.versions_given_twice = len(rewritten)
    figures.lost_after_ms.sort()
    figures.sockets_opened, figures.sockets_dropped = sockets.opened, sockets.dropped
    figures.messages = sockets.messages
    figures.told_and_lost = len(sockets.replaced)
    figures.not_known += sockets.not_known
    kinds = Counter(finding.kind for finding in report.findings)
    figures.phantoms = kinds["phantom"]
    figures.gaps = kinds["gap"] + kinds["told gap"]
    figures.backwards = kinds["told backwards"] + kinds["told twice"]
