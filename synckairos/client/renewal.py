"""Renewing the token of an open socket, before it ends.

The service says when a token ends soon (`TOKEN_EXPIRES`). Then the token function is asked for a newer one,
which is sent over the same socket (`AUTH`), so nothing is missed. Until the service takes one, this is tried
again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import count

from synckairos.client.errors import ConnectionLost, SyncKairosError, Unauthenticated, from_answer
from synckairos.client.http import ANSWER_S, Token, token_of
from synckairos.client.model import Json
from synckairos.client.tasks import stop

AGAIN_S = 5.0
"""How long to wait before the next attempt."""
EARLIEST_S = 2.0
"""How long after a renewal the next one is at least. Otherwise tokens that are good for some seconds only
would be renewed without a pause."""

_request_ids = count(1)


class Renewal:
    """The token of one socket.

    given: the token that the socket was opened with; None for none
    send: sends a message over the socket
    on_error: called with each error after which it is tried again
    """

    def __init__(
        self,
        token: Token,
        given: str | None,
        send: Callable[[Json], None],
        on_error: Callable[[SyncKairosError], None],
    ) -> None:
        self._token = token
        self._given = given
        self._send = send
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._renewed_at = -math.inf
        self._is_due = False
        """Whether the token ends soon."""
        self._task: asyncio.Task[None] | None = None
        self._request_id = ""
        self._answer: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Renew the token, unless there is no function that gives a newer one."""
        if not callable(self._token) or self._given is None:
            return
        self._is_due = True
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run(), name="synckairos token")

    def receive(self, message: Json) -> bool:
        """Take the answer to `AUTH`. Returns whether the message was one."""
        kind, request_id = message["type"], message.get("request_id")
        if request_id != self._request_id and not (kind == "ACK" and "token_expires_at" in message):
            return False
        if self._answer is not None and not self._answer.done():
            if kind == "ERROR":
                self._answer.set_exception(from_answer(message.get("error") or {}))
            else:
                self._is_due = False
                self._answer.set_result(None)
        return True

    async def stop(self) -> None:
        """Stop, because the socket has ended."""
        await stop(self._task)

    async def _run(self) -> None:
        while self._is_due:
            await asyncio.sleep(max(0.0, self._renewed_at + EARLIEST_S - self._loop.time()))
            try:
                await self._renew()
            except SyncKairosError as error:
                self._on_error(error)
            except Exception as error:  # noqa: BLE001 - a token function may raise anything
                failed = ConnectionLost(f"the token function failed: {error!r}")
                failed.__cause__ = error
                self._on_error(failed)
            else:
                continue
            await asyncio.sleep(AGAIN_S)

    async def _renew(self) -> None:
        """Send a newer token. Raises what the token function raises, and SyncKairosError if none is taken."""
        token = await token_of(self._token)
        if token is None or token == self._given:
            raise Unauthenticated("the token ends soon, and the token function gave no newer one")
        self._request_id = f"token-{next(_request_ids)}"
        self._answer = self._loop.create_future()
        self._send({"type": "AUTH", "token": token, "request_id": self._request_id})
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._answer
        except TimeoutError:
            raise ConnectionLost("the service did not answer to a newer token") from None
        self._given, self._renewed_at = token, self._loop.time()
