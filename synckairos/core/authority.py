"""Who is the primary, by the Sentinels. Private to `synckairos.core`.

A connection that works proves nothing: a primary that was cut off from the others answers as before. So each
Sentinel is asked twice a second, and at once when it announces a change. Its answer has a configuration
epoch, which grows with every failover that a majority has agreed on. So the answer with the highest epoch
counts, whichever Sentinel gives it.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

import redis.asyncio
import structlog
from redis.asyncio.client import PubSub

from synckairos.config import Address, Settings
from synckairos.core.clients import REDIS_ERRORS, async_client_of_sentinel
from synckairos.errors import error_text
from synckairos.supervision import Backoff, cancel, retrieve_error, supervise, together

log = structlog.get_logger(__name__)

ASK_EVERY_S = 0.5
ANSWER_S = 0.5
"""How long a Sentinel may take to answer. One that takes longer is asked again."""
UNHEARD_MS = 2000
"""A Sentinel pings the primary once a second. When most of them had no answer for this long, the primary may
be cut off from them, and then another one is named within seconds."""
FRESH_S = 3.0
"""An answer that is older says nothing any more."""
LASTING_S = 10.0
"""A majority that has had a lower epoch than is known for this long was made anew, and is believed."""
ANNOUNCEMENTS = ("+switch-master", "+odown", "-odown", "+slave")
"""The events after which a Sentinel is asked at once: another primary, its state, a new replica."""

_DOWN = frozenset({"s_down", "o_down"})
"""The flags of a server that does not answer a Sentinel, or a quorum of them."""
_NEVER_LOOKED_AT = "?"
"""The primary of a replica that the Sentinel has had no `INFO` from since the last failover.

It is not chosen until then. So the old primary, when it is dead or cut off, does not have to confirm changes
in the seconds until the Sentinels find it down.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one Sentinel said.

    at: when (monotonic seconds)
    epoch: the configuration epoch of the primary
    down: whether the primary does not answer this Sentinel
    unheard: whether it has not answered for UNHEARD_MS
    electable: the replicas that work. One with the priority 0 is not chosen, but WAIT counts it like the
        others, so it has to be among those that confirm.
    """

    at: float
    primary: Address
    epoch: int
    down: bool
    unheard: bool
    electable: frozenset[Address]


@dataclass(frozen=True, slots=True)
class View:
    """What the Sentinels say together.

    primary: None while no Sentinel has answered
    down: whether the primary does not answer most of the Sentinels, and no other one is named yet
    unheard: whether most of the Sentinels have not heard from it lately
    electable: the replicas that at least one of the Sentinels may choose as the next primary
    majority: whether most of the Sentinels have lately named this primary, with this epoch
    heard_at: of the newest answers that make up the majority, when the oldest came (monotonic seconds)
    known: whether a majority has ever been heard, so that `electable` has all that may be chosen
    lower_since: since when all answers have had a lower epoch than is known (monotonic seconds)
    """

    primary: Address | None = None
    epoch: int = -1
    down: bool = False
    unheard: bool = False
    electable: frozenset[Address] = frozenset()
    majority: bool = False
    heard_at: float = field(default=-math.inf, compare=False)
    known: bool = False
    lower_since: float | None = field(default=None, compare=False)

    def stands(self, now: float) -> bool:
        """Whether most of the Sentinels stand behind the primary, so that it was not cut off from them."""
        doubtful = self.down or self.unheard
        return self.majority and not doubtful and now - self.heard_at <= FRESH_S

    def nobody_else(self, now: float) -> bool:
        """Whether moreover no replica can take the primary's place."""
        return self.stands(now) and not self.electable


def judge(before: View, answers: Iterable[Answer], sentinels: int, now: float) -> View:
    """The view that follows from the newest answer of each Sentinel.

    A Sentinel that missed a failover still names the old primary, with a lower epoch than is known, and is
    not believed. Only when all of the Sentinels have a lower epoch, or most of them for a while, was their
    configuration made anew. Without a majority the replicas that it may choose are still those that were
    known before, because this process may be cut off together with the primary.

    sentinels: how many there are
    now: monotonic seconds
    """
    fresh = [answer for answer in answers if now - answer.at <= FRESH_S]
    kept = replace(before, down=False, unheard=False, majority=False, lower_since=None)
    if not fresh:
        return kept
    epoch = max(answer.epoch for answer in fresh)
    if epoch < before.epoch and len(fresh) < sentinels:
        since = now if before.lower_since is None else before.lower_since
        if 2 * len(fresh) <= sentinels or now - since < LASTING_S:
            return replace(kept, lower_since=since)
    named = Counter(answer.primary for answer in fresh if answer.epoch == epoch)
    primary, _ = named.most_common(1)[0]
    about = [answer for answer in fresh if answer.primary == primary]
    heard = sorted((answer.at for answer in about if answer.epoch == epoch), reverse=True)
    majority = 2 * len(heard) > sentinels
    electable = frozenset[Address]().union(*(answer.electable for answer in about))
    if not majority and primary == before.primary:
        electable |= before.electable
    return View(
        primary,
        epoch,
        down=2 * sum(answer.down for answer in about) > sentinels,
        unheard=2 * sum(answer.unheard for answer in about) > sentinels,
        # The Sentinel that leads a failover lists the new primary among the replicas until it is done.
        electable=electable - {primary},
        majority=majority,
        heard_at=heard[sentinels // 2] if majority else -math.inf,
        known=before.known or majority,
    )


_UNKNOWN_NAME = "No such master"
"""What a Sentinel answers about a primary that it does not watch."""


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
            pipeline.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            pipeline.execute_command("SENTINEL", "MASTER", self._name)
            pipeline.execute_command("SENTINEL", "REPLICAS", self._name)
            named, primary, replicas = await pipeline.execute()
        if named is None:
            raise redis.ConnectionError(_UNKNOWN_NAME)
        about = _fields(primary)
        self._answers[address] = Answer(
            monotonic(),
            (named[0].decode(), int(named[1])),
            int(about["config-epoch"]),
            bool(_DOWN & _flags(about)),
            int(about.get("last-ok-ping-reply", 0)) > UNHEARD_MS,
            frozenset(
                (replica["ip"], int(replica["port"]))
                for replica in map(_fields, replicas)
                if not {*_DOWN, "disconnected"} & _flags(replica)
                and replica.get("master-host") != _NEVER_LOOKED_AT
            ),
        )
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
        if _UNKNOWN_NAME in text:
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


def _fields(reply: list[bytes]) -> dict[str, str]:
    """The flat list of names and values that a Sentinel tells of a server."""
    texts = [each.decode() for each in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _flags(server: dict[str, str]) -> set[str]:
    return set(server["flags"].split(","))
