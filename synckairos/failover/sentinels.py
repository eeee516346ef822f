"""A planned change of primary behind Sentinels, on Redis 7.0 and newer and on Valkey 8 and newer.

`SENTINEL FAILOVER` by itself is made for primaries that are dead: it promotes a replica without asking
whether that has everything. `FAILOVER` does ask, but the Sentinels do not know of it and take the swap back.
So the primary is told to hold all writes, the replicas copy the rest, and only then the Sentinels are asked.

Most of the pause is the Sentinels' own pace. They do one step in each turn, every 50 to 100 ms, and during a
failover they look only once a second at the replica that they promote. Asked at a random moment, they name
the new primary after 1.1 s (measured). So they are asked LOOKED_AT_MS after they last looked: then they look
again just when the replica has become the primary, and name it after 0.35 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import redis.asyncio

from synckairos.config import Address, Settings
from synckairos.core.answers import View, answer, judge, questions
from synckairos.core.clients import REDIS_ERRORS, async_client, async_client_of_sentinel
from synckairos.errors import error_text
from synckairos.failover.handover import Handover, NotHandedOver, shown
from synckairos.recover import recover

LOOKED_AT_MS = 770
"""How long ago the Sentinel has looked at the replica when it is asked to promote it.

During a failover it looks again when the last look is 1,000 ms ago. Its third turn promotes the replica, and
the second one comes 200 ms after it was asked at the latest.
"""
TOO_LATE_MS = 820
"""With an older look than that the chance is missed, and the next look is waited for."""
LOOKS_S = 30.0
"""How long to wait for the right moment. A Sentinel looks every 10 s."""
COPY_MS = 1000
"""How long the replicas may take to copy the rest while nobody can write."""
HOLD_MS = 2000
"""For how long writes are held at first. If this command dies, they go on by themselves."""
HOLD_ON_MS = 20_000
"""For how long they are held once the Sentinels were asked.

Longer than the Sentinels take to turn the old primary into a replica, which is 10 s, so that nobody can write
there any more even if this command dies.
"""
NAMED_S = 10.0
"""How long the Sentinels may take to name another primary: the shipped `failover-timeout`."""
SETTLED_S = 30.0
PREFERRED = 1
"""The priority of the replica that is to take over. Sentinels take the lowest; 0 means never."""
PAUSE_S = 0.003

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Servers:
    """Clients of the primary at the address `old` and of its replicas, the one that is to take over first."""

    old: Address
    primary: redis.asyncio.Redis
    replicas: dict[Address, redis.asyncio.Redis]


async def hand_over(settings: Settings, say: Say, primary: Address | None = None) -> Handover:
    """Has the Sentinels replace the primary.

    Raises NotHandedOver. Then the old one is the primary still, unless a Sentinel has named another one.

    primary: the one that is meant, if the caller says so; no other one is replaced
    """
    async with AsyncExitStack() as stack:
        try:
            sentinels = await _Sentinels.reached(settings, stack)
            servers = await _servers(settings, sentinels, stack, primary)
            async with _preferred(sentinels, servers) as target:
                say(f"{shown(target)} is to take over from {shown(servers.old)}")
                handover = await _swap(sentinels, servers)
            say(f"the Sentinels name {shown(handover.new)}; writes were held for {handover.paused_ms} ms")
            await _settle(sentinels, servers, handover, say)
        except REDIS_ERRORS as error:
            raise NotHandedOver(error_text(error)) from error
        return handover


async def _servers(
    settings: Settings, sentinels: _Sentinels, stack: AsyncExitStack, meant: Address | None
) -> _Servers:
    """The servers as the Sentinels know them.

    Raises NotHandedOver when there is no replica, or when the primary is not the one that is `meant`.
    """

    def client(address: Address) -> redis.asyncio.Redis:
        made = async_client(settings, address)
        stack.push_async_callback(made.aclose)
        return made

    old = await sentinels.primary()
    if meant not in (None, old):
        raise NotHandedOver(f"{shown(meant)} is not the primary; the Sentinels name {shown(old)}")
    replicas = {address: client(address) for address in await sentinels.replicas()}
    if not replicas:
        raise NotHandedOver(f"the Sentinels know no replica of {shown(old)} that could take over")
    return _Servers(old, client(old), replicas)


class _Sentinels:
    """The Sentinels that answer. The first of them is the one that is asked to do it."""

    def __init__(self, name: str, count: int, clients: list[redis.asyncio.Redis]) -> None:
        self._name = name
        self._count = count
        self._clients = clients

    @classmethod
    async def reached(cls, settings: Settings, stack: AsyncExitStack) -> _Sentinels:
        """Those of the settings that answer. Raises NotHandedOver when they are no majority."""
        assert settings.redis_sentinel_name is not None
        clients = []
        refusing = 0
        for address in settings.redis_sentinel_hosts:
            client = async_client_of_sentinel(settings, address)
            stack.push_async_callback(client.aclose)
            try:
                await client.execute_command("PING")
                clients.append(client)
            except redis.AuthenticationError:
                refusing += 1
            except REDIS_ERRORS:
                continue
        count = len(settings.redis_sentinel_hosts)
        if 2 * len(clients) <= count:
            if refusing:
                raise NotHandedOver(
                    f"{refusing} of {count} Sentinels refuse the login: correct REDIS_SENTINEL_PASSWORD, and "
                    "REDIS_SENTINEL_USER where they have users"
                )
            raise NotHandedOver(f"{len(clients)} of {count} Sentinels answer, and that is no majority")
        return cls(settings.redis_sentinel_name, count, clients)

    async def names(self) -> list[Address]:
        """The primary that each of them names now; those that do not answer are left out."""
        replies = await self._asked()
        return [(reply[0].decode(), int(reply[1])) for reply in replies if isinstance(reply, list)]

    async def _asked(self) -> list[Any]:
        """What each of them says who the primary is: host and port, None for an unknown name, or an error."""
        return await asyncio.gather(
            *(
                client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
                for client in self._clients
            ),
            return_exceptions=True,
        )

    async def believed(self) -> tuple[Address | None, bool]:
        """The primary that services believe in now, and whether all Sentinels have answered."""
        now = time.monotonic()
        found = await asyncio.gather(*map(self._ask, self._clients), return_exceptions=True)
        answers = [answer(self._name, replies, now) for replies in found if isinstance(replies, list)]
        return judge(View(), answers, self._count, now).primary, len(answers) == len(self._clients)

    async def _ask(self, client: redis.asyncio.Redis) -> list[Any]:
        async with client.pipeline(transaction=False) as pipeline:
            for question in questions(self._name):
                pipeline.execute_command(*question)
            return await pipeline.execute()

    async def majority(self) -> Address | None:
        """The primary that the majority names now, if there is one."""
        names = await self.names()
        return next((name for name in names if 2 * names.count(name) > self._count), None)

    async def primary(self) -> Address:
        """The primary. Raises NotHandedOver when they do not agree on one."""
        found = await self.majority()
        if found is None:
            if all(reply is None for reply in await self._asked()):
                raise NotHandedOver(
                    f"no Sentinel knows a primary with the name {self._name}: correct REDIS_SENTINEL_NAME"
                )
            raise NotHandedOver("the Sentinels do not agree on who is the primary")
        return found

    async def described(self) -> dict[Address, dict[str, str]]:
        """What the first Sentinel knows of each replica that works, by its address."""
        reply = await self._clients[0].execute_command("SENTINEL", "REPLICAS", self._name)
        replicas = [pairs(each) for each in reply]
        return {
            (replica["ip"], int(replica["port"])): replica
            for replica in replicas
            if replica["flags"] == "slave" and replica["master-link-status"] == "ok"
        }

    async def replicas(self) -> list[Address]:
        """The replicas that may take over, those with the lowest priority first."""
        found = await self.described()
        able = [address for address, replica in found.items() if int(replica["slave-priority"]) > 0]
        return sorted(able, key=lambda address: int(found[address]["slave-priority"]))

    async def last_look_ms(self, target: Address) -> int | None:
        """How many milliseconds ago the first Sentinel looked at the replica and found it preferred."""
        replica = (await self.described()).get(target)
        if replica is None or int(replica["slave-priority"]) != PREFERRED:
            return None
        return int(replica["info-refresh"])

    async def fail_over(self) -> None:
        """Asks the first of them to promote a replica. Raises NotHandedOver when it refuses."""
        try:
            await self._clients[0].execute_command("SENTINEL", "FAILOVER", self._name)
        except redis.ResponseError as error:
            raise NotHandedOver(f"the Sentinels refuse: {error}") from error

    async def is_failing_over(self) -> bool:
        """Whether the first of them is still about to do it. One that does not answer may be."""
        with suppress(*REDIS_ERRORS):
            reply = await self._clients[0].execute_command("SENTINEL", "MASTER", self._name)
            return "failover_in_progress" in pairs(reply)["flags"].split(",")
        return True


@asynccontextmanager
async def _preferred(sentinels: _Sentinels, servers: _Servers) -> AsyncIterator[Address]:
    """Has the Sentinels prefer one replica, and begins the block at the right moment to ask for it.

    Its priority is set back at the end. If this command is killed, the replica stays the preferred one.
    """
    target, client = next(iter(servers.replicas.items()))
    before = (await client.config_get("replica-priority"))["replica-priority"]

    async def is_the_moment() -> bool:
        last_look_ms = await sentinels.last_look_ms(target)
        return last_look_ms is not None and LOOKED_AT_MS <= last_look_ms < TOO_LATE_MS

    try:
        await client.config_set("replica-priority", PREFERRED)
        if not await _within(LOOKS_S, is_the_moment):
            raise NotHandedOver(f"the Sentinels do not look at {shown(target)}")
        yield target
    finally:
        with suppress(*REDIS_ERRORS):
            await _twice(partial(client.config_set, "replica-priority", cast(str, before)))


async def _swap(sentinels: _Sentinels, servers: _Servers) -> Handover:
    """Holds the writes, waits for the replicas, has the Sentinels name another primary, retires the old."""
    held = time.monotonic()
    try:
        await _hold(servers.primary, HOLD_MS)
        await _wait_for_copies(servers)
        # From here on the old primary accepts no write until it is known who is the primary.
        await _hold(servers.primary, HOLD_ON_MS)
        await sentinels.fail_over()
        new = await _promoted(servers)
        # The Sentinels would do so later, one by one, and callers that want changes replicated would wait.
        await _follow(servers, new)
        await _wait_for_naming(sentinels, new)
    except BaseException:  # also when this command is interrupted
        await asyncio.shield(_go_on(sentinels, servers))
        raise
    paused_ms = round(1000 * (time.monotonic() - held))
    await _refuse_held(servers.primary)
    return Handover(servers.old, new, paused_ms)


async def _hold(primary: redis.asyncio.Redis, for_ms: int) -> None:
    """Has the primary hold all writes, function calls among them, that come from now on."""
    await primary.execute_command("CLIENT", "PAUSE", for_ms, "WRITE")


async def _wait_for_copies(servers: _Servers) -> None:
    """Waits until the replicas have all that the primary has. Raises NotHandedOver."""
    written = int((await servers.primary.info("replication"))["master_repl_offset"])
    behind = dict(servers.replicas)

    async def nobody_is_behind() -> bool:
        for address, client in list(behind.items()):
            if int((await client.info("replication"))["slave_repl_offset"]) >= written:
                del behind[address]
        return not behind

    if not await _within(COPY_MS / 1000, nobody_is_behind):
        raise NotHandedOver(f"{shown(next(iter(behind)))} has not copied everything within {COPY_MS} ms")


async def _promoted(servers: _Servers) -> Address:
    """The replica that has become the primary. Raises NotHandedOver."""
    found: list[Address] = []

    async def is_one() -> bool:
        for address, client in servers.replicas.items():
            with suppress(*REDIS_ERRORS):  # Sentinels cut the connections of the one that they promote
                if (await client.info("replication"))["role"] == "master":
                    found.append(address)
        return bool(found)

    if not await _within(NAMED_S, is_one):
        raise NotHandedOver(f"the Sentinels have not promoted a replica within {NAMED_S:g} s")
    return found[0]


async def _follow(servers: _Servers, new: Address) -> None:
    """Has all servers copy from another one. The old primary still holds all writes."""
    others = [client for address, client in servers.replicas.items() if address != new]
    for client in (servers.primary, *others):
        with suppress(*REDIS_ERRORS):  # then the Sentinels do it, some seconds later
            await _twice(partial(client.execute_command, "REPLICAOF", *new))


async def _wait_for_naming(sentinels: _Sentinels, new: Address) -> None:
    """Waits until the majority names the new primary. Raises NotHandedOver."""

    async def is_named() -> bool:
        return await sentinels.majority() == new

    if not await _within(NAMED_S, is_named):
        raise NotHandedOver(f"the Sentinels have not named {shown(new)} within {NAMED_S:g} s")


async def _go_on(sentinels: _Sentinels, servers: _Servers) -> None:
    """Lets the old primary go on, unless a Sentinel has named another one after all.

    Services believe the Sentinel with the highest epoch, whatever the majority says. So as soon as one of the
    Sentinels names the new primary, that may have writes which nobody else has, and the change goes on to its
    end. A Sentinel that was asked to promote a replica may still do so, and is waited for. One that does not
    answer may name the new primary, too. Then nothing is turned back, the other Sentinels finish what was
    begun, and the old primary holds the writes until the pause ends by itself.
    """

    async def is_decided() -> bool:
        believed, _ = await sentinels.believed()
        return believed not in (None, servers.old) or not await sentinels.is_failing_over()

    decided = await _within(NAMED_S, is_decided)
    believed, all_answered = await sentinels.believed()
    if believed not in (None, servers.old):
        await _follow(servers, believed)
        await _refuse_held(servers.primary)
    elif decided and all_answered:
        await _turn_back(servers)


async def _turn_back(servers: _Servers) -> None:
    """Makes the old primary the only one again, and lets it carry out what it has held.

    A replica that was promoted and not named has had no writes. So it can become a replica again, and the old
    primary has everything.
    """
    with suppress(*REDIS_ERRORS):
        await _twice(partial(servers.primary.execute_command, "REPLICAOF", "NO", "ONE"))
    for client in servers.replicas.values():
        with suppress(*REDIS_ERRORS):
            await _twice(partial(client.execute_command, "REPLICAOF", *servers.old))
    with suppress(*REDIS_ERRORS):
        await _twice(partial(servers.primary.execute_command, "CLIENT", "UNPAUSE"))


async def _refuse_held(old: redis.asyncio.Redis) -> None:
    """Has the old primary answer what it has held: as a replica it refuses it, and callers go on.

    It goes on to hold while it is no replica yet, because `REPLICAOF` has failed: it would carry out writes
    that are lost later. The Sentinels make it a replica within 10 s, and when the pause ends by itself after
    HOLD_ON_MS, it refuses them then. If the Sentinels cannot reach it either, it carries them out as any
    primary does that was cut off, unless `min-replicas-to-write` is set, as in the shipped configuration.
    """
    with suppress(*REDIS_ERRORS):
        if (await _twice(partial(old.info, "replication")))["role"] == "slave":
            await _twice(partial(old.execute_command, "CLIENT", "UNPAUSE"))


async def _settle(sentinels: _Sentinels, servers: _Servers, handover: Handover, say: Say) -> None:
    """Waits until all Sentinels name the new primary and the old one copies from it."""

    async def is_settled() -> bool:
        if set(await sentinels.names()) != {handover.new}:
            return False
        with suppress(*REDIS_ERRORS):
            return (await servers.primary.info("replication")).get("master_link_status") == "up"
        return False

    if await _within(SETTLED_S, is_settled):
        say(f"{shown(handover.old)} is in step as a replica")
    else:
        say(f"{shown(handover.old)} does not copy from the new primary yet: look at its log")


async def _within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the condition comes true within that time."""
    end = time.monotonic() + seconds
    task = asyncio.current_task()
    assert task is not None
    while True:
        holds = await condition()
        # In Python 3.11, `asyncio.wait_for` may swallow an interruption, and redis-py sends with it.
        if task.cancelling():
            raise asyncio.CancelledError
        if holds:
            return True
        if time.monotonic() > end:
            return False
        await asyncio.sleep(PAUSE_S)


async def _twice(command: Callable[[], Awaitable[Any]]) -> Any:
    """Sends a command, and again when its connection was cut, as Sentinels do to servers they turn."""
    repeat = recover(
        attempts=2,
        backoff="fixed",
        first_s=0.0,
        again=lambda error: isinstance(error, redis.ConnectionError),
    )
    return await repeat(command)


def pairs(reply: Any) -> dict[str, str]:
    """What a Sentinel says of a server, by name."""
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(name): _text(value) for name, value in items}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
