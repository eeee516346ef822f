"""The table of access, in the page and in OpenAPI, and who may do what by it."""

from __future__ import annotations

import pytest

from synckairos.api import openapi
from synckairos.api.routes import ROUTES
from synckairos.auth import access
from synckairos.auth.access import TABLE, Action, Role
from synckairos.auth.caller import Caller
from synckairos.config import Settings
from synckairos.errors import Forbidden
from tests.support.pages import ROOT, Page

PAGE = Page(ROOT / "synckairos" / "auth" / "README.md")
SOMEWHERE = "00000000-0000-4000-8000-000000000000"


def caller(*roles: str, **fields: object) -> Caller:
    return Caller("ann", "club", frozenset(roles), **fields)  # type: ignore[arg-type]  # each test gives its own


def test_the_page_has_the_table() -> None:
    def yes(is_so: bool) -> str:
        return "yes" if is_so else "–"  # noqa: RUF001 - as the page writes it

    rows = {row["action"].strip("`"): row for row in PAGE.section("Roles").tables[0].rows}
    assert list(rows) == [str(action) for action in TABLE]
    for action, row in TABLE.items():
        shown = {
            **{str(role): yes(role in row.roles) for role in Role},
            "bound token": yes(row.bound),
            "link": yes(row.by_link),
            "action": rows[str(action)]["action"],
        }
        if row.player:
            shown["player"] = "own"
        assert rows[str(action)] == shown


def test_every_action_has_a_row_and_every_route_an_action() -> None:
    assert set(TABLE) == set(Action)
    assert {route.action for route in ROUTES} <= set(TABLE)


def test_openapi_says_who_may_and_what_others_get() -> None:
    document = openapi.document(ROUTES, Settings())
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        if route.action is Action.PUBLIC:
            assert operation["security"] == []
            assert not {"401", "403"} & operation["responses"].keys(), route.path
            continue
        assert operation["security"] == [{"bearer": []}]
        assert "UNAUTHENTICATED" in operation["responses"]["401"]["description"]
        assert "FORBIDDEN" in operation["responses"]["403"]["description"]
        assert f"Who may: {access.who_may(route.action)}" in operation["description"]


def test_who_may_in_words() -> None:
    assert access.who_may(Action.PUBLIC) == "everybody, without a token"
    assert access.who_may(Action.SWITCH) == "service, admin, player as its participant"
    assert access.who_may(Action.CREATE) == "service, admin; without a session or participant in the token"
    assert access.who_may(Action.LINK) == "service, moderator, admin; not by a link"


def test_roles_are_a_union_and_unknown_ones_are_nothing() -> None:
    assert access.permit(caller("viewer", "moderator"), Action.START) is None
    assert access.permit(caller("emperor", "viewer"), Action.READ) is None
    for roles in ((), ("emperor",), ("Admin",)):
        with pytest.raises(Forbidden):
            access.permit(caller(*roles), Action.READ)


def test_the_library_judges_players_only_where_no_other_role_allows_it() -> None:
    bound = {"participant": SOMEWHERE}
    assert access.permit(caller("player", **bound), Action.SWITCH) == SOMEWHERE
    assert access.permit(caller("player", "service", **bound), Action.SWITCH) is None
    assert access.permit(caller("player", "moderator", **bound), Action.PAUSE) is None
    assert access.permit(caller("player", "moderator", **bound), Action.SWITCH) == SOMEWHERE
    assert access.permit(caller("player", **bound), Action.READ) is None
    for who in (caller("player"), caller("viewer", **bound)):
        with pytest.raises(Forbidden):
            access.permit(who, Action.SWITCH)


def test_what_bound_tokens_and_links_may_not() -> None:
    for action in (Action.CREATE, Action.WEBHOOK, Action.REVOKE, Action.READ_ACCESS_LOG):
        assert access.permit(caller("admin"), action) is None
        for bound in ({"session": SOMEWHERE}, {"participant": SOMEWHERE}):
            with pytest.raises(Forbidden):
                access.permit(caller("admin", **bound), action)
    assert access.permit(caller("moderator", session=SOMEWHERE), Action.LINK) is None
    with pytest.raises(Forbidden):
        access.permit(caller("moderator", session=SOMEWHERE, is_link=True), Action.LINK)
