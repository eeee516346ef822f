"""The contract as a model: with which code each call is answered, by who makes it and what it is about.

Nothing here comes from the service. Its table of access and its list of routes are what is tested.

An outcome is a status of HTTP, with the code of the error where it is one (`403 FORBIDDEN`), or what comes
over a socket: a close code, the type of a message, or `ERROR` with its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product, starmap
from typing import Literal, get_args

ROLES = ("viewer", "player", "service", "moderator", "admin")

# What the roles may, in the contract's words. `own` is what a player may as its participant alone.
OWN = frozenset({"switch", "pause", "resume"})
LEADING = frozenset(
    {
        *("adjust", "add", "remove", "start", "pause", "resume", "complete", "cancel"),
        *("takeback", "turn", "reopen", "reset", "schedule", "metadata", "links"),
    }
)
MAY = {
    "viewer": frozenset({"read"}),
    "player": frozenset({"read"}),
    "service": frozenset({"read", "create", "switch", "webhooks", *LEADING}),
    "moderator": frozenset({"read", *LEADING}),
    "admin": frozenset(
        {
            *("read", "create", "switch", "webhooks", *LEADING),
            *("delete", "debug", "revocations", "access log", "metrics"),
        }
    ),
}
NOT_BOUND = frozenset({"create", "webhooks", "revocations", "access log"})
"""What nobody may with a token that is bound to a session or a participant."""
NOT_BY_LINK = frozenset({"links"})
"""What nobody may who came by a link."""

STATUS = {
    "VALIDATION_ERROR": 400,
    "INVALID_SESSION_STATE": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "SESSION_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "SESSION_EXISTS": 409,
}

# Who calls

Session = Literal["this", "another"] | None
Participant = Literal["active", "waiting", "stranger"] | None
Token = Literal["good", "unasked", "no", "bad", "tenantless", "ended", "revoked"]

LINKS: list[tuple[Literal["viewer", "player", "moderator"], Participant]] = [
    ("viewer", None),
    ("player", "active"),
    ("player", "waiting"),
    ("moderator", None),
]
"""The links that can be made. A player's names a participant that takes part."""


@dataclass(frozen=True)
class Who:
    """A caller.

    session: whether its token is bound to the session in question, to another one, or to none
    participant: the one to whom its token is bound: whose turn it is, who waits, or who takes no part
    is_link: whether it came by a link
    token: `good`, or why it is not; `unasked` where nobody is asked for one, who has no tenant then
    """

    roles: tuple[str, ...] = ()
    session: Session = None
    participant: Participant = None
    is_link: bool = False
    token: Token = "good"

    @property
    def is_bound(self) -> bool:
        return self.session is not None or self.participant is not None

    def __str__(self) -> str:
        if self.token != "good":
            return f"{self.token} token"
        binding = f" of {self.session} session" if self.session else ""
        return f"{'+'.join(self.roles) or 'no role'}{' by link' * self.is_link}{binding}" + (
            f" as {self.participant}" if self.participant else ""
        )


def everybody() -> list[Who]:
    """No role, each role and each pair, with all bindings; all links; and all without a good token."""
    roles: list[tuple[str, ...]] = [(), *((role,) for role in ROLES), *combinations(ROLES, 2)]
    sessions: tuple[Session, ...] = (None, "this", "another")
    participants: tuple[Participant, ...] = (None, "active", "waiting", "stranger")
    return [
        *starmap(Who, product(roles, sessions, participants)),
        *(
            Who((role,), session, participant, is_link=True)
            for role, participant in LINKS
            for session in sessions[1:]
        ),
        *(Who(token=token) for token in get_args(Token) if token != "good"),
    ]


# What it is about


@dataclass(frozen=True)
class State:
    """A state of a session.

    status: None when it was deleted, or was never there
    where: who has it. Redis forgets a finished session after a while, and can lose any.
    clock: whose the clock is that runs
    """

    status: str | None
    where: Literal["redis", "postgresql", "tombstone", "nowhere"] = "redis"
    clock: Literal["participant", "group", "session"] = "participant"
    players_may_pause: bool = False


STATES = {
    "pending": State("pending"),
    "running": State("running"),
    "running, players may pause": State("running", players_may_pause=True),
    "running, in teams": State("running", clock="group", players_may_pause=True),
    "running, on one clock": State("running", clock="session"),
    "paused": State("paused"),
    "paused, players may pause": State("paused", players_may_pause=True),
    "expired": State("expired"),
    "completed": State("completed"),
    "cancelled": State("cancelled"),
    "lost while running": State("running", "postgresql"),
    "lost while paused": State("paused", "postgresql", players_may_pause=True),
    "over, and only in PostgreSQL": State("completed", "postgresql"),
    "deleted": State(None, "tombstone"),
    "deleted, and its tombstone gone": State(None, "postgresql"),
    "never there": State(None, "nowhere"),
}
LIVE = ("pending", "running", "paused")


@dataclass(frozen=True)
class Target:
    """A session. Seen from the callers it is their tenant's, another one's, or has none."""

    tenant: Literal["own", "foreign", "none"]
    name: str

    @property
    def state(self) -> State:
        return STATES[self.name]

    def __str__(self) -> str:
        return f"{self.tenant}, {self.name}"


def targets() -> list[Target]:
    """All sessions. What was never there is nobody's."""
    return [
        Target(tenant, name)
        for name in STATES
        for tenant in ("own", "foreign", "none")
        if tenant == "own" or name != "never there"
    ]


def is_there(who: Who, target: Target) -> bool:
    """Whether there is such a caller: only a session of one's own that was ever there has links."""
    return (
        who.session != "this"
        or not who.is_link
        or (target.tenant == "own" and target.state.where != "nowhere")
    )


# What is called


@dataclass(frozen=True)
class Call:
    """A route or a message of a socket.

    right: what it needs, in the words of MAY; `public` needs no token
    success: the outcome when nothing is wrong
    about: what it names. `create` names an id, `delete` and `debug` have rules of their own.
    from_: the statuses in which it is possible
    clock: whose clock it names
    """

    right: str
    success: str
    about: Literal["nothing", "session", "create", "delete", "debug"] = "session"
    from_: tuple[str, ...] | None = None
    clock: str | None = None


_SESSION = "/v1/sessions/{session_id}"
_PUBLIC = Call("public", "200", "nothing")
ROUTES = {
    "POST /v1/sessions": Call("create", "201", "create"),
    "GET /v1/sessions": Call("read", "200", "nothing"),
    f"GET {_SESSION}": Call("read", "200"),
    f"DELETE {_SESSION}": Call("delete", "204", "delete"),
    f"POST {_SESSION}/start": Call("start", "200", from_=("pending",)),
    f"POST {_SESSION}/pause": Call("pause", "200", from_=("running",)),
    f"POST {_SESSION}/resume": Call("resume", "200", from_=("paused",)),
    f"POST {_SESSION}/complete": Call("complete", "200", from_=LIVE),
    f"POST {_SESSION}/cancel": Call("cancel", "200", from_=LIVE),
    f"POST {_SESSION}/switch": Call("switch", "200", from_=("running",)),
    f"POST {_SESSION}/takeback": Call("takeback", "200", from_=("running", "paused")),
    f"PATCH {_SESSION}/turn": Call("turn", "200", from_=("pending", "paused")),
    f"POST {_SESSION}/reopen": Call("reopen", "200", from_=("expired", "completed", "cancelled")),
    f"POST {_SESSION}/reset": Call("reset", "200"),
    f"PATCH {_SESSION}/schedule": Call("schedule", "200", from_=LIVE),
    f"PATCH {_SESSION}/metadata": Call("metadata", "200"),
    f"POST {_SESSION}/participants": Call("add", "201", from_=LIVE),
    f"DELETE {_SESSION}/participants/{{participant_id}}": Call("remove", "200", from_=LIVE),
    f"PATCH {_SESSION}/participants/{{participant_id}}": Call(
        "adjust", "200", from_=LIVE, clock="participant"
    ),
    f"PATCH {_SESSION}/groups/{{group_id}}": Call("adjust", "200", from_=LIVE, clock="group"),
    f"PATCH {_SESSION}/clock": Call("adjust", "200", from_=LIVE, clock="session"),
    f"GET {_SESSION}/events": Call("read", "200"),
    f"GET {_SESSION}/timeline.svg": Call("read", "200"),
    f"POST {_SESSION}/links": Call("links", "201"),
    f"GET {_SESSION}/links": Call("links", "200"),
    f"DELETE {_SESSION}/links/{{link_id}}": Call("links", "204"),
    f"DELETE {_SESSION}/links": Call("links", "204"),
    "POST /v1/revocations": Call("revocations", "201", "nothing"),
    "POST /v1/webhooks": Call("webhooks", "201", "nothing"),
    "GET /v1/webhooks": Call("webhooks", "200", "nothing"),
    "DELETE /v1/webhooks/{webhook_id}": Call("webhooks", "204", "nothing"),
    "POST /v1/webhooks/{webhook_id}/test": Call("webhooks", "200", "nothing"),
    "GET /v1/webhooks/{webhook_id}/deliveries": Call("webhooks", "200", "nothing"),
    "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry": Call("webhooks", "200", "nothing"),
    "GET /v1/access-log": Call("access log", "200", "nothing"),
    "GET /debug/sessions/{session_id}": Call("debug", "200", "debug"),
    "GET /metrics": Call("metrics", "200", "nothing"),
    "GET /v1/presets": _PUBLIC,
    "GET /v1/time": _PUBLIC,
    "GET /health": _PUBLIC,
    "GET /ready": _PUBLIC,
    "GET /openapi.json": _PUBLIC,
    "GET /docs": _PUBLIC,
    "GET /docs/{file}": _PUBLIC,
    "GET /": _PUBLIC,
    "GET /s/{session_id}": _PUBLIC,
    "GET /room/{tag}": _PUBLIC,
    "GET /console/access": Call("read", "200", "nothing"),
    "GET /console/{page}/{file}": _PUBLIC,
    "GET /console/{page}/{folder}/{file}": _PUBLIC,
    "GET /favicon.ico": _PUBLIC,
    "GET /manifest.webmanifest": _PUBLIC,
    "GET /sw.js": _PUBLIC,
    "GET /synckairos.js": _PUBLIC,
    "GET /synckairos.d.ts": _PUBLIC,
    "GET /useSyncKairos.js": _PUBLIC,
    "GET /useSyncKairos.d.ts": _PUBLIC,
}
OPENING = "GET /ws"
MESSAGES = {
    "AUTH": Call("read", "ACK"),
    "PING": Call("read", "PONG"),
    "CLOCK": Call("read", "nothing"),
    "RECONNECT": Call("read", "RECONNECT_ACK"),
    "SWITCH": Call("switch", "ACK", from_=("running",)),
    "PAUSE": Call("pause", "ACK", from_=("running",)),
    "RESUME": Call("resume", "ACK", from_=("paused",)),
}
"""What clients send over a socket, once it is open."""
CALLS = [*ROUTES, OPENING, *MESSAGES]

# What comes of it


def expected(who: Who, name: str, target: Target) -> str:
    """The outcome of a cell."""
    if name not in ROUTES:
        return _over_socket(who, name, target)
    call = ROUTES[name]
    if call.right == "public":
        return call.success
    if _wrong_token(who, target) is not None:
        return _http("UNAUTHENTICATED")
    way = may(who, call.right)
    if way == "no":
        return _http("FORBIDDEN")
    if call.about != "nothing" and who.session == "another":
        return _http("SESSION_NOT_FOUND")
    code = _refusal(who, call, way, target)
    return call.success if code is None else _http(code)


def _over_socket(who: Who, name: str, target: Target) -> str:
    """Of a socket that does not open, every message has the outcome of the opening."""
    wrong = _wrong_token(who, target)
    if wrong is not None:
        return {"ended": "4401", "revoked": "4403"}.get(wrong, "1008")
    if may(who, "read") == "no":
        return "4403"
    if who.session == "another" or not is_own(who, target) or target.state.status is None:
        return "4404"
    if name == OPENING:
        return "CONNECTED"
    call = MESSAGES[name]
    way = may(who, call.right)
    code = "FORBIDDEN" if way == "no" else _refusal(who, call, way, target)
    return call.success if code is None else f"ERROR {code}"


def _wrong_token(who: Who, target: Target) -> str | None:
    """Why the token is not good. A link ends with its session."""
    if who.is_link and who.session == "this" and target.state.status is None:
        return "ended"
    return None if who.token in ("good", "unasked") else who.token


def is_own(who: Who, target: Target) -> bool:
    """Whether a session exists for a caller, as far as tenants go."""
    return target.tenant == "own" or who.token == "unasked"


def may(who: Who, right: str) -> Literal["yes", "own", "no"]:
    """Whether a caller may do something, or may as its participant. Where nobody is asked, all may."""
    if who.token == "unasked":
        return "yes"
    if (who.is_bound and right in NOT_BOUND) or (who.is_link and right in NOT_BY_LINK):
        return "no"
    if any(right in MAY[role] for role in who.roles):
        return "yes"
    return "own" if "player" in who.roles and who.participant is not None and right in OWN else "no"


def _refusal(who: Who, call: Call, way: str, target: Target) -> str | None:
    """The code with which a call is refused that the caller's token allows; None when it is carried out."""
    state = target.state
    match call.about:
        case "nothing" | "delete":  # to delete what is not there is no error
            return None
        case "create":
            if state.where == "tombstone":
                is_free = target.tenant == ("none" if who.token == "unasked" else "own")
            else:
                is_over = state.status not in LIVE
                is_free = state.where == "nowhere" or (
                    is_own(who, target) and state.where == "postgresql" and is_over
                )
            return None if is_free else "SESSION_EXISTS"
        case "debug":  # shows what was deleted, too
            return None if is_own(who, target) and state.where != "nowhere" else "SESSION_NOT_FOUND"
    if not is_own(who, target) or state.status is None:
        return "SESSION_NOT_FOUND"
    if call.from_ is not None and state.status not in call.from_:
        return "INVALID_SESSION_STATE"
    if call.right == "takeback" and state.where == "postgresql":  # a restore lies between
        return "INVALID_SESSION_STATE"
    is_pause = call.right in ("pause", "resume")
    if way == "own" and (who.participant != "active" or (is_pause and not state.players_may_pause)):
        return "FORBIDDEN"
    if call.clock is not None and call.clock != state.clock:
        return "VALIDATION_ERROR"
    return None


def _http(code: str) -> str:
    return f"{STATUS[code]} {code}"


def listed(who: Who, target: Target, another: Target) -> set[Target]:
    """The sessions in the list that a caller gets. `another`: the other one to which it may be bound."""
    bound_to = {None: None, "this": target, "another": another}[who.session]
    return {
        each
        for each in targets()
        if each.tenant == ("none" if who.token == "unasked" else "own")
        and each.state.status is not None
        and each.state.where != "nowhere"
        and bound_to in (None, each)
    }


def may_write(who: Who, name: str, target: Target) -> bool:
    """Whether anything of the session may be other afterwards: its state, its log, its outbox, its rows.

    A refusal writes nothing, and neither does reading. Only a live session that is lost comes back to Redis
    with the first call of somebody who may make it, whatever becomes of that call.
    """
    call = ROUTES.get(name) or MESSAGES.get(name) or Call("read", "CONNECTED")
    state = target.state
    if call.about == "nothing":
        return call.right == "revocations" and expected(who, name, target) == call.success
    if call.right == "debug" or (
        call.about == "delete" and (not is_own(who, target) or state.status is None)
    ):
        return False
    is_let_in = (
        _wrong_token(who, target) is None and may(who, call.right) != "no" and who.session != "another"
    )
    if name not in ROUTES:
        is_let_in = _over_socket(who, OPENING, target) == "CONNECTED"
    if is_let_in and is_own(who, target) and state.where == "postgresql" and state.status in LIVE:
        return True
    is_reading = call.right == "read" or name == f"GET {_SESSION}/links"
    return not is_reading and expected(who, name, target) == call.success
