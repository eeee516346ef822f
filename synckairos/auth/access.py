"""Which role may do what, in one table. The API, its description and the page about roles come from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

from synckairos.auth.caller import Caller
from synckairos.errors import Forbidden


class Role(StrEnum):
    """The roles that count. A token may name others, which are nothing."""

    VIEWER = "viewer"
    PLAYER = "player"
    SERVICE = "service"
    MODERATOR = "moderator"
    ADMIN = "admin"


class Action(StrEnum):
    """What can be done. A route and a command of a socket stand for one of these."""

    PUBLIC = "public"
    READ = "read"
    CREATE = "create"
    SWITCH = "switch"
    PAUSE = "pause"
    RESUME = "resume"
    START = "start"
    COMPLETE = "complete"
    CANCEL = "cancel"
    ADJUST = "adjust"
    ADD = "add"
    REMOVE = "remove"
    TAKEBACK = "takeback"
    TURN = "turn"
    REOPEN = "reopen"
    RESET = "reset"
    SCHEDULE = "schedule"
    METADATA = "metadata"
    LINK = "link"
    WEBHOOK = "webhook"
    DELETE = "delete"
    DEBUG = "debug"
    REVOKE = "revoke"
    READ_ACCESS_LOG = "read the access log"
    READ_METRICS = "read metrics"


@dataclass(frozen=True, slots=True)
class Access:
    """A row of the table.

    roles: who may; nobody is asked for a token where it is PUBLIC
    player: whether also a player may, as the participant of its token: the function library judges that
    bound: whether a token for one session or one participant is enough
    by_link: whether somebody who came by a link may, when its role does
    """

    roles: frozenset[Role]
    player: bool = False
    bound: bool = True
    by_link: bool = True


_ROLES = {str(role): role for role in Role}
_ADMINS = frozenset({Role.ADMIN})
_BACKENDS = frozenset({Role.SERVICE, Role.ADMIN})
_LEADERS = _BACKENDS | {Role.MODERATOR}

TABLE: dict[Action, Access] = {
    Action.PUBLIC: Access(frozenset(Role)),
    Action.READ: Access(frozenset(Role)),
    Action.CREATE: Access(_BACKENDS, bound=False),
    Action.SWITCH: Access(_BACKENDS, player=True),
    Action.PAUSE: Access(_LEADERS, player=True),
    Action.RESUME: Access(_LEADERS, player=True),
    Action.START: Access(_LEADERS),
    Action.COMPLETE: Access(_LEADERS),
    Action.CANCEL: Access(_LEADERS),
    Action.ADJUST: Access(_LEADERS),
    Action.ADD: Access(_LEADERS),
    Action.REMOVE: Access(_LEADERS),
    Action.TAKEBACK: Access(_LEADERS),
    Action.TURN: Access(_LEADERS),
    Action.REOPEN: Access(_LEADERS),
    Action.RESET: Access(_LEADERS),
    Action.SCHEDULE: Access(_LEADERS),
    Action.METADATA: Access(_LEADERS),
    Action.LINK: Access(_LEADERS, by_link=False),
    Action.WEBHOOK: Access(_BACKENDS, bound=False),
    Action.DELETE: Access(_ADMINS),
    Action.DEBUG: Access(_ADMINS),
    Action.REVOKE: Access(_ADMINS, bound=False),
    Action.READ_ACCESS_LOG: Access(_ADMINS, bound=False),
    Action.READ_METRICS: Access(_ADMINS),
}


def who_may(action: Action) -> str:
    """Who may do something, in words for people."""
    row = TABLE[action]
    if action is Action.PUBLIC:
        return "everybody, without a token"
    roles = [str(role) for role in Role if role in row.roles]
    if row.player:
        roles.append(f"{Role.PLAYER} as its participant")
    conditions = []
    if not row.bound:
        conditions.append("without a session or participant in the token")
    if not row.by_link:
        conditions.append("not by a link")
    return "; ".join([", ".join(roles), *conditions])


def known_roles(caller: Caller) -> frozenset[Role]:
    """The roles of a caller that count."""
    return _known(caller.roles)


@lru_cache(1024)
def _known(roles: frozenset[str]) -> frozenset[Role]:
    return frozenset(_ROLES[role] for role in roles if role in _ROLES)


def sees_actors(caller: Caller) -> bool:
    """Whether events show the caller who made them. They do not to somebody who came by a link to watch."""
    return not caller.is_link or bool(known_roles(caller) - {Role.VIEWER})


def permit(caller: Caller, action: Action) -> str | None:
    """Checks that a caller may do something. Raises Forbidden.

    Returns the participant as whom the library has to judge it (`PLAYER`), or None when a role allows it
    whoever's turn it is. A player without a participant is a viewer.
    """
    allowed = _allowed(caller, known_roles(caller), TABLE[action])
    if allowed == "no":
        whose = "a token for one session " if caller.is_bound else ""
        raise Forbidden(f"{whose}may not: {action}")
    return caller.participant if allowed == "as player" else None


def _allowed(caller: Caller, roles: frozenset[Role], row: Access) -> Literal["yes", "as player", "no"]:
    """How a caller with these roles may do what a row is about."""
    if (caller.is_bound and not row.bound) or (caller.is_link and not row.by_link):
        return "no"
    if roles & row.roles:
        return "yes"
    return "as player" if row.player and Role.PLAYER in roles and caller.participant is not None else "no"


def rights(caller: Caller) -> dict[str, Any]:
    """What a caller may do, for a page that shows no button for anything else.

    `may`: the names of the actions that a role allows, whoever's turn it is. `player`: null, or
    `participant_id` and `may`: what the caller may do as this participant only, so far as the library allows
    it. The list is about the caller alone: an action may still be refused because of the session's state.
    """
    roles = known_roles(caller)
    ways = {action: _allowed(caller, roles, row) for action, row in TABLE.items()}
    may = [action for action, way in ways.items() if way == "yes" and action is not Action.PUBLIC]
    as_player = [action for action, way in ways.items() if way == "as player"]
    player = {"participant_id": caller.participant, "may": as_player} if as_player else None
    return {"may": may, "player": player}
