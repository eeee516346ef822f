"""What a page is told about its token, so that it shows no button for anything else."""

from __future__ import annotations

from typing import Any

import pytest

from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import Forbidden

SESSION, ANNA = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "aaaaaaaa-0000-4000-8000-000000000001"
EVERYTHING = {*Action} - {Action.PUBLIC}
LEADS = {
    Action.READ,
    Action.PAUSE,
    Action.RESUME,
    Action.START,
    Action.COMPLETE,
    Action.CANCEL,
    Action.ADJUST,
    Action.ADD,
    Action.REMOVE,
    Action.TAKEBACK,
    Action.TURN,
    Action.REOPEN,
    Action.RESET,
    Action.SCHEDULE,
    Action.METADATA,
}
WITH_AN_ACCOUNT = {Action.CREATE, Action.WEBHOOK, Action.REVOKE, Action.READ_ACCESS_LOG}
"""Nobody does this with a token for one session."""
PLAYS = {Action.SWITCH, Action.PAUSE, Action.RESUME}


def caller(*roles: str, **more: Any) -> Caller:
    return Caller("anna", "club", frozenset(roles), **more)


@pytest.mark.parametrize(
    ("who", "may", "as_player"),
    [
        (ANONYMOUS, EVERYTHING, None),
        (caller("admin"), EVERYTHING, None),
        (caller("admin", session=SESSION), EVERYTHING - WITH_AN_ACCOUNT, None),
        (caller("viewer"), {Action.READ}, None),
        (caller("viewer", session=SESSION, is_link=True), {Action.READ}, None),
        (caller("player"), {Action.READ}, None),
        (caller("player", participant=ANNA), {Action.READ}, PLAYS),
        (caller("player", session=SESSION, participant=ANNA, is_link=True), {Action.READ}, PLAYS),
        (caller("moderator"), LEADS | {Action.LINK}, None),
        (caller("moderator", session=SESSION, is_link=True), LEADS, None),
        (caller("moderator", "player", participant=ANNA), LEADS | {Action.LINK}, {Action.SWITCH}),
        (caller("referee"), set(), None),
    ],
)
def test_a_page_is_told_what_its_token_allows_and_as_whom(
    who: Caller, may: set[Action], as_player: set[Action] | None
) -> None:
    rights = access.rights(who)
    assert set(rights["may"]) == may
    if as_player is None:
        assert rights["player"] is None
    else:
        assert rights["player"]["participant_id"] == ANNA
        assert set(rights["player"]["may"]) == as_player
    for action in EVERYTHING - may - (as_player or set()):
        with pytest.raises(Forbidden):
            access.permit(who, action)
