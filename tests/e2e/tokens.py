"""Pages that see a service as somebody with a token does, on a service that asks for none.

The page's messages go to the real service. Only its greeting is another one, and the token is kept here.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import WebSocketRoute

from tests.e2e.browser import Visitor

PLAYS = ["switch", "pause", "resume"]
MODERATES = ["read", "pause", "resume", "start", "complete", "cancel", "adjust", "add", "remove"]


def viewer() -> dict[str, Any]:
    """What a viewer is told."""
    return {"auth_mode": "jwt", "may": ["read"], "player": None}


def player(participant_id: str) -> dict[str, Any]:
    """What a player is told."""
    return {**viewer(), "player": {"participant_id": participant_id, "may": PLAYS}}


def moderator(*more: str) -> dict[str, Any]:
    """What a moderator is told; one who has an account may also make links."""
    return {**viewer(), "may": [*MODERATES, *more]}


async def greet(visitor: Visitor, access: dict[str, Any]) -> list[str]:
    """Lets all pages of a visitor be told this about their token. Returns the list of tokens that they send."""
    tokens: list[str] = []

    def connect(page: WebSocketRoute) -> None:
        service = page.connect_to_server()

        def up(text: str | bytes) -> None:
            message = json.loads(text)
            if message["type"] == "AUTH":
                tokens.append(message["token"])
            else:
                service.send(text)

        def down(text: str | bytes) -> None:
            message = json.loads(text)
            if message["type"] == "CONNECTED":
                message["payload"]["access"] = access
                text = json.dumps(message)
            page.send(text)

        page.on_message(up)
        service.on_message(down)

    await visitor.context.route_web_socket(lambda url: "/ws?" in url, connect)
    return tokens
