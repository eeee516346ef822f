"""The whole library as one plain program: what each function does to a session, and what it replies.

`Model.call(function, session_id, args, time)` takes the arguments that `FCALL` gets after the keys, and the
server's time in ms. It returns a `Reply`. A refused call changes nothing. The model shares no code with the
library and knows no keys, so a mistake in one of the two shows as a difference between them.

A comment that begins with "Reading:" says how the model reads a rule that could be read in another way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.model import clocks
from tests.model.clocks import Clock
from tests.model.config import LONGEST, parse_config, parse_participant
from tests.model.options import Options, Refusal, parse_options
from tests.model.session import LIVE, Json, Session, TurnTaker, as_configured, new_session, new_turn_taker
from tests.model.views import show, show_cycle, show_turn_taker

SUSPICIOUS_MS = 10
TOLERATED_LATE_MS = 1000
REMEMBERED_REQUESTS = 16
MISSING = "SESSION_NOT_FOUND"


@dataclass(slots=True)
class Reply:
    """The answer to a call: one of event, state, events, number, or a refusal's code. All None: no answer."""

    event: Json | None = None
    state: Json | None = None
    events: list[Json] | None = None
    number: int | None = None
    code: str | None = None
    fields: list[str] = field(default_factory=list)
    context: Json = field(default_factory=dict)


TYPES = {
    "time.warning": ("TIME_WARNING", "auto"),
    "participant.expired": ("TIME_EXPIRED", "timeout"),
    "session.expired": ("TIME_EXPIRED", "timeout"),
    "session.deleted": ("SESSION_DELETED", "deleted"),
}


class Model:
    """All sessions of one server. The caller passes the time of each call."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.tombstones: dict[str, str | None] = {}
        """The tenants of deleted sessions, by id."""
        self.deletions: dict[str, Json] = {}
        self.epochs = 0
        self.server: str | None = None
        """The server that makes the next changes. Without one, no change opens a new epoch."""

    def call(self, function: str, session_id: str, args: Sequence[str], time: int) -> Reply:
        """Run `sk_<function>` for one session at the server time `time` (ms)."""
        stored = self.sessions.get(session_id)
        try:
            options = parse_options(function, args)
            reads = function in {"get", "log"}
            session = stored if stored is None or reads else stored.copy()
            reply = self._run(function, session_id, session, options, time)
        except Refusal as refusal:
            return Reply(code=refusal.code, fields=refusal.fields, context=refusal.context)
        return reply

    def _run(self, function: str, session_id: str, s: Session | None, options: Options, time: int) -> Reply:
        if function == "create":
            return self._create(session_id, s, options, time)
        if s is None:
            if function == "expire":
                return Reply()
            if function == "delete":
                return Reply(number=0)
            raise Refusal(MISSING)
        now = max(time, s.changed)
        if "TENANT" in options and options["TENANT"] != s.tenant:
            if function == "delete":
                return Reply(number=0)
            raise Refusal(MISSING)
        if function == "get":
            return _read(s, options, now)
        if function == "log":
            return self._log(s, options)
        replayed = self._replay(s, function, options)
        if replayed is not None:
            return replayed
        _check_version(s, options)
        before = {p.id: _without_running_time(s, p) for p in [*s.participants.values(), *s.groups.values()]}
        outcome: tuple[str, Json] | None = getattr(self, f"_{function}")(s, options, now)
        if outcome is None:
            return Reply()
        event = self._record(s, function, outcome, before, options=options, now=now)
        return Reply(number=1) if function == "delete" else Reply(event=event)

    def _record(
        self,
        s: Session,
        function: str,
        outcome: tuple[str, Json],
        before: dict[str, Json],
        *,
        options: Options,
        now: int,
    ) -> Json:
        name, extra = outcome
        if self.server is not None and s.server != self.server:
            s.server = self.server
            if function not in {"create", "restore"}:  # they have opened one
                self.epochs += 1
                s.epoch = self.epochs
        s.version, s.changed = s.version + 1, now
        if name != "time.warning":
            s.solid_version = s.version
        s.schema = options.get("SCHEMA", s.schema)
        if "REQUEST" in options:
            made = (options.get("ACTOR"), options["REQUEST"], function, s.version)
            s.requests = [*s.requests, made][-REMEMBERED_REQUESTS:]
        kind, reason = TYPES.get(name, ("STATE_UPDATE", "manual"))
        changed = [
            p for p in [*s.rotation(), *s.groups.values()] if before.get(p.id) != _without_running_time(s, p)
        ]
        payload = {
            "event": name,
            "reason": reason,
            **show_cycle(s, now),
            "participants": [show_turn_taker(s, p, now) for p in changed if p.id in s.participants],
            "groups": [show_turn_taker(s, p, now) for p in changed if p.id in s.groups],
            "actor": options.get("ACTOR"),
            "trace": options.get("TRACE"),
            **({} if s.resumes is None else {"resumes_at_ms": s.resumes}),
            **({} if s.total_left is None else {"total_remaining_ms": s.total_remaining(now)}),
            **(_schedule(s) if name in {"session.created", "session.scheduled"} else {}),
            **extra,
        }
        event = {
            "v": 1,
            "type": kind,
            "session_id": s.id,
            "version": s.version,
            "epoch": s.epoch,
            "server_time_ms": now,
            "payload": payload,
        }
        s.log[s.version] = event
        if function == "delete":
            del self.sessions[s.id]
            self.tombstones[s.id] = s.tenant
            self.deletions[s.id] = event
        else:
            self.sessions[s.id] = s
        return event

    def _replay(self, s: Session, function: str, options: Options) -> Reply | None:
        made = _made_by(s, options)
        if made is None:
            return None
        made_function, version = made
        if made_function != function:
            raise Refusal("VALIDATION_ERROR", ["request"])
        if version not in s.log:
            raise Refusal("CONCURRENT_MODIFICATION", actual_version=s.version)
        return Reply(event=s.log[version] | {"replayed": True})

    def _log(self, s: Session, options: Options) -> Reply:
        since = options.first
        if since > s.version or options.get("EPOCH", str(s.epoch)) != str(s.epoch):
            return Reply()
        wanted = range(since + 1, s.version + 1)
        return Reply(events=[s.log[v] for v in wanted]) if all(v in s.log for v in wanted) else Reply()

    def _create(self, session_id: str, old: Session | None, options: Options, now: int) -> Reply:
        made = None if old is None or old.tenant != options.get("TENANT") else _made_by(old, options)
        # A repeated create is judged at the time of the first one: its start may have come since then.
        config, bad = parse_config(
            options.first, session_id, now if old is None or made is None else old.created
        )
        if bad:
            raise Refusal("VALIDATION_ERROR", bad)
        if old is not None:
            if made is None or old.tenant != options.get("TENANT"):
                raise Refusal("SESSION_EXISTS")
            if made[0] != "create":
                raise Refusal("VALIDATION_ERROR", ["request"])
            # Reading: the state of a repeated create has `replayed`, as the event of a repeated change has.
            return Reply(state=show(old, max(now, old.changed)) | {"replayed": True})
        if self.tombstones.get(session_id, options.get("TENANT")) != options.get("TENANT"):
            raise Refusal("SESSION_EXISTS")
        self.epochs += 1
        s = new_session(session_id, config, now, options.get("TENANT"), options.get("TTL", 3600) * 1000)
        s.epoch = self.epochs
        s.version = 0
        self.tombstones.pop(session_id, None)
        self._record(s, "create", ("session.created", {}), {}, options=options, now=now)
        return Reply(state=show(s, now))

    def restore(self, session_id: str, exported: Session, time: int, ttl_ms: int, schema: int) -> Reply:
        """Continue `exported`, which `export` returned, in a schema.

        The clocks did not run during the outage.
        """
        if session_id in self.sessions or session_id in self.tombstones:
            return Reply(code="SESSION_EXISTS")
        s = exported.copy()
        now = max(time, s.changed)
        if s.resumes is not None:
            s.resumes += now - s.changed
        if s.paused_at is not None:
            s.paused_at += now - s.changed
        s.bar_takebacks()
        if s.cycle is not None and s.status == "running" and s.cycle.elapsed is not None:
            s.cycle.start, s.cycle.elapsed = now - s.cycle.elapsed, None
        self.epochs += 1
        s.epoch, s.recovered, s.log, s.ttl_ms, s.schema = self.epochs, now, {}, ttl_ms, schema
        before = {p.id: _without_running_time(s, p) for p in [*s.participants.values(), *s.groups.values()]}
        self._record(s, "restore", ("session.recovered", {}), before, options=Options(), now=now)
        return Reply(state=show(s, now))

    def export(self, session_id: str, time: int) -> Session:
        """A copy of the session, as `sk_get EXPORT` returns it at `time`."""
        s = self.sessions[session_id].copy()
        # Reading: the session's time goes on from the moment of the export.
        s.changed = max(time, s.changed)
        if s.cycle is not None and s.cycle.elapsed is None:
            s.cycle.elapsed = s.cycle.ran(s.changed)
        return s

    # Transitions. Each returns the event's name and its further fields, or None if it changes nothing.

    def _start(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status(s, "pending")
        # Reading: a call to start at or after the moment carries out what is due, as the others do.
        return perform(s, now) or start(s, now)

    def _pause(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status_or_due(s, now, "running")
        _require_player(s, options, allowed=s.config.players_may_pause)
        done = perform(s, now)
        if done is not None:
            return done
        assert s.cycle is not None
        free, bounded = "FREE" in options, s.pauses_left is not None or s.pause_left is not None
        if not free:
            if s.pauses_left == 0:
                raise Refusal("INVALID_SESSION_STATE", pauses_left=0)
            if s.pause_left == 0:
                raise Refusal("INVALID_SESSION_STATE", pause_remaining_ms=0)
            s.pauses_left = None if s.pauses_left is None else s.pauses_left - 1
            s.paused_at = None if s.pause_left is None else now
        s.cycle.elapsed, s.status = s.cycle.ran(now), "paused"
        # Reading: `FREE` leaves out the two bounds of all pauses. A single one is still bounded.
        bounds = [s.config.max_pause_ms, None if s.paused_at is None else s.pause_left]
        s.resumes = min([now + bound for bound in bounds if bound is not None], default=None)
        # Clients work out from this what is left of the bounds.
        return "session.paused", {"counted": False} if free and bounded else {}

    def _resume(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status_or_due(s, now, "paused")
        _require_player(s, options, allowed=s.config.players_may_pause)
        done = perform(s, now)
        if done is not None:
            return done
        if s.stuck():
            raise Refusal("PARTICIPANT_EXPIRED")
        resume(s, now)
        return "session.resumed", {}

    def _complete(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status(s, *LIVE)
        if s.cycle is not None:
            s.cut(now)
        s.finish("completed", now)
        s.forget_past(now)
        return "session.completed", {}

    def _cancel(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        self._complete(s, options, now)
        s.status = "cancelled"
        return "session.cancelled", {}

    def _delete(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        # Reading: the event shows the status and the running cycle from before the deletion.
        return "session.deleted", {}

    def _expire(self, s: Session, options: Options, now: int) -> tuple[str, Json] | None:
        done = perform(s, now)
        if done is not None:
            return done
        if s.deadline() is None or s.cycle is None:
            return None
        due = [w for w in s.cycle.pending_warnings if s.warning_at(w) <= now]
        if not due:
            return None
        s.cycle.pending_warnings.remove(max(due))
        s.cycle.sent_warnings.add(max(due))
        return "time.warning", {"warning_ms": max(due)}

    def _switch(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status_or_due(s, now, "running")
        active, clock = active_or_first(s), s.running_clock
        names_itself = options.get("NEXT") == options.get("PLAYER")
        may_name = s.config.players_may_choose_next and not names_itself
        _require_player(s, options, allowed="NEXT" not in options or may_name)
        # Reading: CURRENT must be a participant now. One that has left is refused like an unknown id.
        if options.get("CURRENT", active.id) not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        if options.get("CURRENT", active.id) != active.id:
            wrong = {"expected_participant_id": options["CURRENT"], "actual_participant_id": active.id}
            raise Refusal("CONCURRENT_MODIFICATION", **wrong)
        if "NEXT" in options and options["NEXT"] not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        if "NEXT" in options and s.out(s.participants[options["NEXT"]]):
            raise Refusal("PARTICIPANT_EXPIRED")
        done = perform(s, now)
        if done is not None:
            return done
        assert s.cycle is not None
        last = s.last_cycle()
        extra: Json = {"suspicious": "too_fast"} if s.cycle.ran(now) <= SUSPICIOUS_MS else {}
        run, since = s.run(now), s.since()
        if clock is None:
            s.charge(run, run)
        elif s.stuck():
            # Reading: a clock that is out has no budget, so the switch is too late within the grace, too.
            return expire(s, now)
        elif not clock.expired:
            saved = min(options.get("LAG", 0), clock.quota_ms or 0, run)
            u = run - saved
            full = run if clock.endless else clocks.budget(clock, since=since)
            if u >= full and not clock.endless:
                return expire(s, now)
            s.charge(min(run, full), u)
            charged = s.running_clock
            assert charged is not None
            # Reading: the switch that completes the session takes from the lag quota, as every switch does.
            charged = charged if last else clocks.credit(clock, u, charged)
            s.running_clock = clocks.with_lag(charged, saved)
            if clock.quota_ms is not None and "LAG" in options:
                extra["lag_credit_ms"] = saved
            if clocks.overtime_used(clock, u, since=since) and not clock.endless:
                extra["overtime_used_ms"] = clocks.overtime_used(clock, u, since=since)
        if last:
            s.close(now)
            s.finish("completed", now)
            return "session.completed", extra | {"reason": "auto"}
        following = s.participants[options["NEXT"]] if "NEXT" in options else s.following()
        assert following is not None
        s.close(now)
        activate(s, following, now)
        return "cycle.switched", extra

    def _adjust(self, s: Session, options: Options, now: int) -> tuple[str, Json] | None:
        _require_status(s, *LIVE)
        if "CLOCK" in options:
            return adjust_total(s, options, now)
        owner = _adjusted_owner(s, options)
        active = s.active_participant()
        current = active is not None and s.owner_of(active) is owner
        clock = (
            s.running_clock if current or s.config.cycle_clock else s.clock if owner is None else owner.clock
        )
        if clock is None and s.config.cycle_clock:
            raise Refusal("INVALID_SESSION_STATE", status=s.status)
        if clock is not None and clock.endless:
            raise Refusal("VALIDATION_ERROR", ["set" if "SET" in options else "add"])
        done = perform(s, now) if current or concerns_first(s, owner, now) else None
        if done is not None:
            return done
        before = None
        if clock is None:
            # Reading: this session counts up without a maximum. SET gives it one. ADD is refused, because
            # there is nothing to add to. With WITHIN nothing happens, because the end is never near.
            if "WITHIN" in options:
                return None
            if "ADD" in options:
                raise Refusal("VALIDATION_ERROR", ["add"])
            ran = s.run(now) if s.cycle is not None else 0
            clock, s.max_ms = Clock(ran), s.time_used + ran
        else:
            before = s.remaining(now) if current else clocks.remaining(clock)
        run = s.run(now) if current and s.cycle is not None and not clock.expired else 0
        since = s.since() if current else 0
        if "WITHIN" in options and before is not None and before >= options["WITHIN"]:
            return None
        changed, by = clocks.adjust(
            clock, run, set_ms=options.get("SET"), add_ms=options.get("ADD"), since=since
        )
        if current and s.cycle is not None:
            s.running_clock = changed
            if clock.expired and not changed.expired:
                s.cycle.since = s.cycle.ran(now)
            s.schedule_warnings(now)
        elif owner is not None:
            owner.clock = changed
        else:
            s.clock = changed
        if s.config.mode == "count_up" and s.max_ms is not None:
            s.max_ms += by
        after = s.remaining(now) if current else clocks.remaining(changed)
        s.bar_takebacks()
        # Reading: where there was no end, `SET` gives all that is then left.
        return adjusted(options, after - before if after is not None and before is not None else by)

    def _join(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status(s, *LIVE)
        highest = max(p.index for p in s.participants.values())
        member, bad = parse_participant(options.first, s.config, highest + 1)
        taken = {p.index for p in s.participants.values()}
        if member.id in s.participants:
            bad.append("participant_id")
        if member.index in taken or member.index > 999:
            bad.append("participant_index")
        if member.group is not None and member.group not in s.groups:
            bad.append("group_id")
        if len(s.participants) >= 1000:
            bad.append("participants")
        if bad:
            raise Refusal("VALIDATION_ERROR", sorted(set(bad)))
        s.participants[member.id] = new_turn_taker(member, s.config, own=s.config.mode == "per_participant")
        s.bar_takebacks()
        return "participant.added", {}

    def _leave(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status(s, *LIVE)
        if options.first not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        if len(s.participants) == 1:
            raise Refusal("VALIDATION_ERROR", ["participant_id"])
        gone = s.participants[options.first]
        if active_or_first(s) is gone:
            done = perform(s, now)
            if done is not None:
                return done
        if s.active == gone.id and s.cycle is not None:
            s.cut(now)
            s.bar_takebacks()
            after = s.following(leaving=True, anybody=True)
            assert after is not None
            spent = s.clock is not None and s.clock.expired and s.config.action["type"] != "notify"
            following = None if spent else s.following(leaving=True)
            if following is None:
                # Reading: the event is still the leave. There is no deadline, so the session ends now. A bank
                # of the session that the cycle used up leaves nobody any time.
                s.finish("expired", now)
                s.forget_past(now)
                s.was = after.id
            else:
                s.begin(following, now, paused=s.status == "paused")
        else:
            s.bar_takebacks()
            s.active = None if s.active == gone.id else s.active
        del s.participants[gone.id]
        return "participant.removed", {"removed_participant_id": gone.id}

    def _takeback(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status_or_due(s, now, "running", "paused")
        done = perform(s, now)
        if done is not None:
            return done
        turns = options.get("TURNS", 1)
        if turns > len(s.turns):
            raise Refusal("INVALID_SESSION_STATE")
        *kept, position = s.turns[: len(s.turns) - turns + 1]
        s.go_back_to(position, now)
        s.turns = kept
        return "turn.taken_back", {"turns": turns}

    def _turn(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status_or_due(s, now, "pending", "paused")
        if options.first not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        named = s.participants[options.first]
        if s.out(named):
            raise Refusal("PARTICIPANT_EXPIRED")
        done = perform(s, now)
        if done is not None:
            return done
        if s.cycle is None:
            s.active = named.id
        else:
            s.charge_until(now)
            s.spend_total(now)
            s.bar_takebacks()
            s.begin(named, now, paused=True)
        return "turn.set", {}

    def _reopen(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        if s.status in LIVE:
            raise Refusal("INVALID_SESSION_STATE", status=s.status)
        s.completed = s.expired_by = None
        s.forget_past(now)
        if s.started is None:
            s.status, s.active = "pending", s.was
        else:
            assert s.was is not None
            s.status = "paused"
            s.begin(s.participants[s.was], now, paused=True)
        return "session.reopened", {}

    def _reset(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        as_configured(s)
        s.recovered = None
        s.forget_past(now)
        # Reading: the clock that the session owns is in no list of the payload, so it is told beside them.
        mode, shown = s.config.mode, show(s, now)
        told = {"count_up": "max_time_ms", "global": "total_time_ms"}.get(mode, "")
        has_own = mode == "count_up" or (mode == "global" and shown["time_per_cycle_ms"] is None)
        return "session.reset", {told: shown[told]} if has_own else {}

    def _schedule(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _require_status(s, *LIVE)
        # Reading: what has come cannot be moved or taken back, whoever notices it first.
        if any(at is not None and at <= now for at in (s.starts_at, s.ends_at)):
            done = perform(s, now)
            assert done is not None
            return done
        if options.get("STARTS") is not None and s.status != "pending":
            raise Refusal("INVALID_SESSION_STATE", status=s.status)
        bad = [
            name.lower()
            for name in ("STARTS", "ENDS")
            if options.get(name) is not None and not now < options[name] <= now + LONGEST
        ]
        if bad:
            raise Refusal("VALIDATION_ERROR", bad)
        s.starts_at = options.get("STARTS", s.starts_at)
        s.ends_at = options.get("ENDS", s.ends_at)
        if s.starts_at is not None and s.ends_at is not None and s.ends_at <= s.starts_at:
            raise Refusal("VALIDATION_ERROR", ["ends"])
        s.bar_takebacks()
        return "session.scheduled", {}

    def _metadata(self, s: Session, options: Options, now: int) -> tuple[str, Json] | None:
        before = s.config.metadata
        after = merged(before, options.first)
        changes = json.dumps(after, sort_keys=True) != json.dumps(before, sort_keys=True)
        if changes and not fits(after):
            raise Refusal("VALIDATION_ERROR", ["metadata"])
        done = perform(s, now)
        if done is not None:
            options.pop("REQUEST", None)  # the same request is carried out when it is repeated
            return done
        if not changes:
            return None
        s.config = replace(s.config, metadata=after)
        return "metadata.changed", {"metadata": after}


def merged(before: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = merged(after.get(name), value)
    return after


def fits(metadata: dict[str, Any]) -> bool:
    """Whether a session may have this metadata."""
    compact = json.dumps(metadata, separators=(",", ":"))
    return len(metadata) <= 100 and len(compact.encode()) <= 10_240


def start(s: Session, at: int) -> tuple[str, Json]:
    """Begin the first cycle at the time `at`."""
    s.status, s.started, s.starts_at = "running", at, None
    s.begin(active_or_first(s), at)
    return "session.started", {}


def active_or_first(s: Session) -> TurnTaker:
    """Who is active; while pending who will be."""
    return s.participants[s.active] if s.active is not None else s.rotation()[0]


def concerns_first(s: Session, owner: TurnTaker | None, now: int) -> bool:
    """Whether a pending session should have begun, and `owner` has the clock that would run now."""
    return s.status == "pending" and s.due(now) is not None and s.owner_of(active_or_first(s)) is owner


def perform(s: Session, now: int) -> tuple[str, Json] | None:
    """Do what is due, if anything is."""
    match s.due(now):
        case "start":
            assert s.starts_at is not None
            late = now - s.starts_at
            name, _ = start(s, now if late > TOLERATED_LATE_MS else s.starts_at)
            return name, {"reason": "auto", "late_ms": late}
        case "end":
            at = s.ends_at
            assert at is not None
            if s.cycle is not None:
                # Nobody is charged for an outage in which the end came, nor is a pause.
                stopped = max(at, s.recovered or at)
                s.cut(stopped)
                s.end_pause(stopped)
            s.finish("completed", at)
            s.forget_past(now)
            return "session.completed", {"reason": "auto", "late_ms": now - at}
        case "pause":
            return end_pause(s, now)
        case "time":
            return expire(s, now)
    return None


def adjust_total(s: Session, options: Options, now: int) -> tuple[str, Json] | None:
    """Adjust the total beside the cycles."""
    left = s.total_remaining(now)
    if s.total_left is None or left is None:
        raise Refusal("VALIDATION_ERROR", ["clock"])
    done = perform(s, now)
    if done is not None:
        return done
    if left >= options.get("WITHIN", left + 1):
        return None
    gone = 0 if s.cycle is None else s.cycle.ran(now)
    if "SET" in options:
        s.total_left = gone + options["SET"]
    else:
        wanted = s.total_left + options["ADD"]
        s.total_left = wanted if wanted >= s.total_left else max(wanted, min(s.total_left, gone))
    if s.cycle is not None:
        s.schedule_warnings(now)
    s.bar_takebacks()
    after = s.total_remaining(now)
    assert after is not None
    return adjusted(options, after - left)


def adjusted(options: Options, by: int) -> tuple[str, Json]:
    """The event of an adjust that changed by `by` ms what is left."""
    extra: Json = {"adjusted_ms": by}
    if "REASON" in options:
        extra["adjust_reason"] = options["REASON"]
    return "time.adjusted", extra


def _schedule(s: Session) -> Json:
    """The start and the end, as far as there are any."""
    found = {"starts_at_ms": s.starts_at, "ends_at_ms": s.ends_at}
    return {name: at for name, at in found.items() if at is not None}


def _read(s: Session, options: Options, now: int) -> Reply:
    if options.get("UNLESS") == f"{s.version}@{s.epoch}":
        return Reply()
    state = show(s, now)
    if "SUMMARY" in options:
        state = {name: value for name, value in state.items() if name != "participants"}
    return Reply(state=state)


def _made_by(s: Session, options: Options) -> tuple[str, int] | None:
    """The function and the version of the first call with this request id of the same actor."""
    wanted = options.get("ACTOR"), options.get("REQUEST")
    return next((made[2:] for made in s.requests if made[:2] == wanted), None)


def _require_player(s: Session, options: Options, *, allowed: bool) -> None:
    """A call with PLAYER is that of the active participant, who is allowed to make it."""
    if "PLAYER" in options and not (allowed and options["PLAYER"] == active_or_first(s).id):
        raise Refusal("FORBIDDEN")


def resume(s: Session, at: int) -> None:
    """Continue the cycle at the time `at`."""
    assert s.cycle is not None
    s.cycle.start, s.cycle.elapsed, s.status = at - s.cycle.ran(at), None, "running"
    s.end_pause(at)


def end_pause(s: Session, now: int) -> tuple[str, Json]:
    """End a pause that has lasted as long as it may.

    The cycle continues from the end of the pause, or from now if that is more than TOLERATED_LATE_MS ago;
    but not from after the end of the session, so that it has used what it used before the pause.
    """
    assert s.resumes is not None
    late = now - s.resumes
    resume(s, min(now, s.ends_at or now) if late > TOLERATED_LATE_MS else s.resumes)
    return "session.resumed", {"reason": "auto", "late_ms": late}


def expire(s: Session, now: int) -> tuple[str, Json]:
    """The active participant's time is up: charge the budget and do what `action_on_timeout` says.

    When this is also the end of the session's own budget, the session ends.
    """
    active, clock, deadline, cycle = s.active_participant(), s.running_clock, s.deadline(), s.cycle
    assert active is not None
    assert clock is not None
    assert deadline is not None
    assert cycle is not None
    # Reading: a clock that is out has no budget, not even the delay of the cycle. It was charged before.
    full, since = 0 if clock.expired else clocks.budget(clock, since=s.since()), s.since()
    up = deadline + clocks.grace(clock)
    late = max(0, now - up)
    at = now if late > TOLERATED_LATE_MS else min(up, now)
    action = dict(s.config.action)
    extra: Json = {
        "expired_participant_id": active.id,
        "expired_deadline_ms": deadline,
        "late_ms": late,
        "action_applied": action,
    }
    if s.config.mode == "per_group":
        extra["expired_group_id"] = active.group
    if deadline == s.total_ends():
        s.cut(deadline)
        s.finish("expired", deadline)
        s.forget_past(now)
        s.expired_by = active.id
        return "session.expired", extra | {"expired_clock": "total"}
    if clocks.overtime_used(clock, full, since=since):
        extra["overtime_used_ms"] = clocks.overtime_used(clock, full, since=since)
    s.charge(full, full)
    kind = action["type"]
    if kind == "notify" and not (s.config.cycle_clock and s.config.auto_advance):
        cycle.pending_warnings.clear()
        return "participant.expired", extra
    session_bank = s.owner_of(active) is None and not s.config.cycle_clock
    following = None if kind == "end_session" or session_bank else s.following()
    last = s.last_cycle()
    s.close(deadline)
    if following is not None and last:
        s.finish("completed", deadline)
        s.forget_past(now)
        return "session.completed", extra | {"reason": "auto"}
    if following is not None:
        activate(s, following, at)
        return "participant.expired", extra
    # Reading: in modes where each cycle has a clock, the only other participant wins.
    loser = s.owner_of(active) or active
    rivals = s.group_rotation() if s.config.mode == "per_group" else s.rotation()
    rivals = [r for r in rivals if r is not loser and not (r.clock is not None and r.clock.expired)]
    if len(rivals) == 1 and kind == "end_session" and not session_bank:
        action["winner"] = rivals[0].id
    s.finish("expired", deadline)
    s.forget_past(now)
    s.expired_by = active.id
    return "session.expired", extra


def activate(s: Session, following: TurnTaker, at: int) -> None:
    """Begin the next cycle. Under an hourglass its clock first gets the time that the last cycle used."""
    cycle = s.cycle
    assert cycle is not None
    if cycle.transfers_time:
        receiver = s.owner_of(following)
        assert receiver is not None
        assert receiver.clock is not None
        receiver.clock = clocks.receive(receiver.clock, cycle.charged_ms)
    s.begin(following, at)


def _check_version(s: Session, options: Options) -> None:
    """Refuse a VERSION or EPOCH that is not the session's. Versions that only warned count as unchanged."""
    same_epoch = options.get("EPOCH", str(s.epoch)) == str(s.epoch)
    if same_epoch and s.solid_version <= options.get("VERSION", s.version) <= s.version:
        return
    wrong: Json = {}
    if "VERSION" in options:
        wrong = {"expected_version": options["VERSION"], "actual_version": s.version}
    if "EPOCH" in options:
        wrong |= {"expected_epoch": options["EPOCH"], "actual_epoch": str(s.epoch)}
    raise Refusal("CONCURRENT_MODIFICATION", **wrong)


def _require_status_or_due(s: Session, now: int, *statuses: str) -> None:
    """Refuse another status, unless something is due: calls that concern the cycle do that in any status."""
    if s.due(now) is None:
        _require_status(s, *statuses)


def _require_status(s: Session, *statuses: str) -> None:
    if s.status not in statuses:
        wrong = {"status": s.status}
        if s.expired_by is not None:
            wrong["expired_participant_id"] = s.expired_by
        raise Refusal("INVALID_SESSION_STATE", **wrong)


def _adjusted_owner(s: Session, options: Options) -> TurnTaker | None:
    mode = s.config.mode
    pid, gid = options.get("PARTICIPANT"), options.get("GROUP")
    wanted = {"per_participant": "PARTICIPANT", "per_group": "GROUP"}.get(mode)
    named = "PARTICIPANT" if pid is not None else "GROUP" if gid is not None else None
    if named != wanted:
        raise Refusal("VALIDATION_ERROR", [(named or wanted or "").lower()])
    if named is None:
        return None
    owner = s.participants.get(str(pid)) if named == "PARTICIPANT" else s.groups.get(str(gid))
    if owner is None:
        raise Refusal("PARTICIPANT_NOT_FOUND")
    return owner


def _without_running_time(s: Session, taker: TurnTaker) -> Json:
    """What an event compares to find the participants and groups that it changed: all but the time left."""
    shown = show_turn_taker(s, taker, 0)
    del shown["time_remaining_ms"]
    return shown
