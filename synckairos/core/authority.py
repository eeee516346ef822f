"""Who is the primary, by the Sentinels. Private to `synckairos.core`.

A connection that works proves nothing: a primary that was cut off from the others answers as before. So each
Sentinel is asked twice a second, and at once when it announces a change. `synckairos.core.answers` says what
follows from their answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic

import redis.asyncio
import structlog
from redis.asyncio.client import PubSub

from synckairos.config import Address, Settings
from synckairos.core.answers import UNKNOWN_NAME, Answer, View, Watch, answer, judge, questions, watch
from synckairos.core.clients import REDIS_ERRORS, async_client_of_sentinel
from synckairos.errors import error_text
from synckairos.supervision import Backoff, cancel, retrieve_error, supervise, together

log = structlog.get_logger(__name__)

ASK_EVERY_S = 0.5
ANSWER_S = 0.5
"""How long a Sentinel may take to answer. One that takes longer is asked again."""
ANNOUNCEMENTS = ("+switch-master", "+odown", "-odown", "+slave")
"""The events after which a Sentinel is asked at once: another primary, its state, a new replica."""


class Sentinels:
    """The Sentinels of one primary. `changed` is called with each view that differs from the one before."""

    def __init__(self, settings: Settings, changed: Callable[[View], None]) -> None:
        assert settings.redis_sentinel_name is not None
        self._name = settings.redis_sentinel_name
        self._clients = {
            address: async_client_of_sentinel(settings, address, timeout_s=ANSWER_S)
            for address in settings.redis_sentinel_hosts
        }
        self._answers: dict[Address, Answer] = {}
        self._changed = changed
        self._watching: list[asyncio.Task[None]] = []
        self._asking: asyncio.Task[None] | None = None
        self._trouble = ""
        """Why the last Sentinel that did not answer did not."""
        self.view = View()

    def watch(self) -> Watch:
        """How well they watch the primary."""
        return watch(self._name, self._answers.values(), monotonic())

    async def ask(self) -> None:
        """Asks all of them, and watches them from then on.

        Callers that come meanwhile share the answers. Raises redis.ConnectionError when no primary is known
        afterwards.
        """
        if not self._watching:
            self._watching = [
                asyncio.create_task(
                    supervise(f"Sentinel {address[0]}:{address[1]}", partial(self._watch, address))
                )
                for address in self._clients
            ]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
            self._asking.add_done_callback(retrieve_error)
        await asyncio.wait((self._asking,))
        if self.view.primary is None:
            raise redis.ConnectionError(self._trouble or f"no Sentinel knows the primary {self._name!r}")

    async def _ask_all(self) -> None:
        """Asks until most of the Sentinels have answered, or all of them have answered or failed."""
        asking = {asyncio.create_task(self._ask(address)) for address in self._clients}
        answered = 0
        try:
            while asking and 2 * answered <= len(self._clients):
                done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    error = each.exception()
                    if error is None:
                        answered += 1
                    elif isinstance(error, REDIS_ERRORS):
                        self._trouble = self._explained(error)
                    else:
                        raise error
        finally:
            await cancel(*asking)

    async def _ask(self, address: Address) -> None:
        """Asks one Sentinel, and takes its answer into account. Raises RedisError, OSError."""
        client = self._clients[address]
        async with asyncio.timeout(ANSWER_S), client.pipeline(transaction=False) as pipeline:
            for question in questions(self._name):
                pipeline.execute_command(*question)
            replies = await pipeline.execute()
        self._answers[address] = answer(self._name, replies, monotonic())
        self._judge()

    def _judge(self) -> None:
        before = self.view
        self.view = judge(before, self._answers.values(), len(self._clients), monotonic())
        if self.view != before:
            self._changed(self.view)

    async def _watch(self, address: Address) -> None:
        """Asks one Sentinel in regular intervals and when it announces a change."""
        backoff = Backoff(0.1, ASK_EVERY_S)
        away = False
        while True:
            announced = asyncio.Event()
            pubsub = self._clients[address].pubsub()
            try:
                await self._ask(address)
                await pubsub.subscribe(*ANNOUNCEMENTS)
                backoff.reset()
                away = False
                await together(self._listen(pubsub, announced), self._ask_often(address, announced))
            except REDIS_ERRORS as error:
                log.log(
                    10 if away else 30,  # debug, warning: an outage is reported once
                    "a Sentinel does not answer",
                    sentinel=f"{address[0]}:{address[1]}",
                    error=self._explained(error),
                )
                away = True
                self._judge()  # so that old answers end to count
            finally:
                await pubsub.aclose()
            await asyncio.sleep(backoff.pause())

    def _explained(self, error: Exception) -> str:
        """What went wrong, with the setting that may be wrong."""
        text = error_text(error)
        if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
            return f"{text} (see REDIS_SENTINEL_USER and REDIS_SENTINEL_PASSWORD)"
        if UNKNOWN_NAME in text:
            return f"the Sentinels do not know the primary {self._name!r} (see REDIS_SENTINEL_NAME)"
        return f"{text} (see REDIS_SENTINEL_HOSTS)"

    async def _ask_often(self, address: Address, announced: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(ASK_EVERY_S):
                    await announced.wait()
            except TimeoutError:
                pass
            announced.clear()
            await self._ask(address)

    async def _listen(self, pubsub: PubSub, announced: asyncio.Event) -> None:
        while True:
            if await pubsub.get_message(ignore_subscribe_messages=True, timeout=None) is not None:
                announced.set()

    async def aclose(self) -> None:
        """Ends watching, and closes the connections to the Sentinels."""
        await cancel(*self._watching, *([self._asking] if self._asking else []))
        for client in self._clients.values():
            await client.aclose()
