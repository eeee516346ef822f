"""The examples in the description of the API: each call has one, and it is one that can be made."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from synckairos.api import examples, schemas
from synckairos.api.examples import ANNA, BEN, CLEO, EXAMPLES, SESSION
from synckairos.api.routes import ROUTES, Route

GAME = [
    "create_session",
    "start_session",
    "switch_cycle",
    "takeback_turns",
    "adjust_participant",
    "pause_session",
    "set_turn",
    "resume_session",
    "get_session",
    "schedule_session",
    "join_session",
    "leave_session",
    "patch_metadata",
    "complete_session",
    "reopen_session",
    "cancel_session",
    "get_events",
    "get_timeline",
    "reset_session",
    "delete_session",
]
"""The calls of a game from its creation to its end, in an order in which they can be made."""
BY_NAME: dict[str, Route] = {route.name: route for route in ROUTES}


def test_each_call_has_one() -> None:
    assert EXAMPLES.keys() == BY_NAME.keys()


def test_they_are_what_the_calls_take() -> None:
    for name, example in EXAMPLES.items():
        kind = BY_NAME[name].body
        assert (example.body is None) or kind is not None, name
        if kind is None or example.body is None:
            continue
        value = msgspec.convert(example.body, kind)
        if isinstance(value, schemas.Input):
            assert value.problem() is None, name


async def test_a_game_can_be_played_by_them(api: httpx.AsyncClient) -> None:
    real: dict[str, str] = {}

    def with_ids(value: Any) -> Any:
        text = msgspec.json.encode(value).decode()
        for example, made in real.items():
            text = text.replace(example, made)
        return msgspec.json.decode(text)

    for name in GAME:
        route, example = BY_NAME[name], EXAMPLES[name]
        response = await api.request(
            route.method,
            with_ids(examples.path_of(route.path, example)),
            **({} if example.body is None else {"json": with_ids(example.body)}),
        )
        if name == "get_timeline" and response.status_code == 503:
            continue  # it is drawn from the audit store
        assert response.status_code == route.status, (name, response.text)
        if name == "create_session":
            state = response.json()["data"]
            ids = [each["participant_id"] for each in state["participants"]]
            real |= {SESSION: state["session_id"], ANNA: ids[0], BEN: ids[1]}
    assert CLEO not in real


async def test_the_page_and_the_document_have_them(api: httpx.AsyncClient) -> None:
    page = (await api.get("/docs")).text
    assert page.count("<pre class=example>") == len(ROUTES)
    document = (await api.get("/openapi.json")).json()
    content = document["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]
    assert content["example"]["participants"] == ["Anna", "Ben"]
