"""A session for backends that hold no socket: the same calls, over HTTP alone."""

from __future__ import annotations

import asyncio

from synckairos.client.calls import Calls
from synckairos.client.errors import SyncKairosError
from synckairos.client.face import due
from synckairos.client.http import may_try_again
from synckairos.client.model import Change, State
from synckairos.client.view import adopted

POLL_S = 2.0
"""How often `over` looks, unless it is told."""
SOON_S = 0.1
"""How long after a moment that was due `over` looks, so that the server has had time to notice."""


class Handle(Calls):
    """A session by its id, without a connection. `SyncKairos.handle(id)` makes it; there is nothing to close.

    It remembers nothing of the session, and each call asks the service.
    """

    async def get(self) -> State:
        """The session's state."""
        return await self._service.state(self._path)

    async def switch(
        self,
        *,
        next: str | None = None,  # noqa: A002 - the service's word for it
        current: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """End the running cycle and start the next one.

        next: the participant to activate, instead of the next in rotation
        current: refused unless this participant is active. Name it where two switches may be for one turn
        """
        body = {"next_participant_id": next, "current_participant_id": current}
        return await self._post("switch", expected_version, idempotency_key, **body)

    async def pause(
        self,
        *,
        counted: bool = True,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Stop the clock. counted: False for a pause that takes nothing of the session's bounds of pauses."""
        return await self._pause(counted, expected_version, idempotency_key)

    async def resume(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> Change:
        """Let the clock run on."""
        return await self._post("resume", expected_version, idempotency_key)

    async def over(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as `asyncio.wait_for` has it
        every_s: float = POLL_S,
    ) -> State:
        """Wait until the session is over. Returns its final state, at once when it was over before.

        timeout: after so many seconds TimeoutError is raised
        every_s: how often the service is asked; it is also asked right after each moment at
            which the session does something by itself

        Raises SessionNotFound when the session is deleted before it is over. While the service is away it is
        asked again, `reconnect_attempts` times in a row.
        """
        failed = 0
        async with asyncio.timeout(timeout):
            while True:
                wait = every_s
                try:
                    state = await self.get()
                except SyncKairosError as error:
                    failed += 1
                    if not may_try_again(error) or failed > self._service.reconnect_attempts:
                        raise
                    wait = max(wait, (error.retry_after_ms or 0) / 1000)
                else:
                    failed = 0
                    if state.is_over:
                        return state
                    coming = due(adopted(state), state.server_time_ms)
                    if coming is not None:
                        wait = min(wait, coming.in_ms / 1000 + SOON_S)
                await asyncio.sleep(wait)

    async def _reach(self, version: int) -> None:
        """Nothing is shown here."""

    def _seen(self, _version: int) -> Change | None:
        """Nothing is heard here."""
        return None

    async def _is_group(self, _owner: str) -> bool | None:
        """Nothing is known here: the service is asked for a participant, and then for a group."""
        return None
