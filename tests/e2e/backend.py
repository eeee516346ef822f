"""A backend over HTTP, which changes sessions while pages show them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Self

import httpx

from tests.e2e.browser import PATIENCE_S

State = dict[str, Any]


class Api:
    """A client of a service."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # There is no TLS to check.
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=20, verify=False)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The `data` of an answer, which must be a success."""
        reply = await self._client.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json()["data"] if reply.content else None

    async def create(self, **config: Any) -> State:
        """Creates a session and returns its state."""
        state: State = await self.ask("POST", "/v1/sessions", config)
        return state

    async def game(self, seconds: float = 60, participants: int = 2, **config: Any) -> State:
        """Creates a session in which every participant has an own clock."""
        players = [
            {"participant_id": str(uuid.uuid4()), "total_time_ms": int(1000 * seconds)}
            for _ in range(participants)
        ]
        return await self.create(sync_mode="per_participant", participants=players, **config)

    async def get(self, session_id: str) -> State:
        """The session's state."""
        state: State = await self.ask("GET", f"/v1/sessions/{session_id}")
        return state

    async def reaches(self, session_id: str, version: int) -> None:
        """Waits until the server's state has reached this version."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.get(session_id))["version"] < version:
                await asyncio.sleep(0.01)

    async def do(self, session_id: str, what: str, **body: Any) -> State:
        """Performs a transition: `start`, `switch`, `pause` …"""
        answer: State = await self.ask("POST", f"/v1/sessions/{session_id}/{what}", body or None)
        return answer

    async def adjust(self, session_id: str, owner: str, **body: Any) -> State:
        """Changes a participant's clock."""
        answer: State = await self.ask("PATCH", f"/v1/sessions/{session_id}/participants/{owner}", body)
        return answer

    async def events(self, session_id: str) -> list[dict[str, Any]]:
        """All events of a session, in order."""
        events: list[dict[str, Any]] = (await self.ask("GET", f"/v1/sessions/{session_id}/events"))["events"]
        return events
