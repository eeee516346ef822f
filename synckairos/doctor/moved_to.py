"""The other deployments to which sessions may have moved: `MOVED_TO`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from redis.exceptions import RedisError, ResponseError

from synckairos import config
from synckairos.config import Address, Settings, SettingsError
from synckairos.core.clients import REDIS_ERRORS, async_client, async_client_of_sentinel
from synckairos.doctor.findings import Area, Finding
from synckairos.doctor.trouble import CONNECT_S, decoded, redis_trouble

T = TypeVar("T")


async def moved_to(settings: Settings) -> list[Finding]:
    """Whether each of them can be reached, and is another Redis than the service's own."""
    area = Area("MOVED_TO")
    return await area.run(_all(area, settings))


async def _all(area: Area, settings: Settings) -> None:
    async def own() -> set[str]:
        with suppress(*REDIS_ERRORS):  # another area says why the service's own Redis does not answer
            return await _run_ids(settings)
        return set()

    own_ids = asyncio.create_task(own())
    await asyncio.gather(*(_target(area, settings, place, own_ids) for place in settings.moved_to))


async def _target(area: Area, settings: Settings, place: str, own_ids: asyncio.Task[set[str]]) -> None:
    try:
        there = config.at(place, settings)
    except SettingsError as error:
        area.fail(
            "settings", f"the service will not start: {error}", "correct MOVED_TO, or the file it names"
        )
        return
    where = there.redis_address
    if where == settings.redis_address:
        _is_own(area, where)
        return
    try:
        ids = await _run_ids(there)
    except REDIS_ERRORS as error:
        text, remedy = redis_trouble(error, where, "MOVED_TO")
        if "://" not in place:
            remedy = f"correct the settings in {place}, or start the Redis that they name"
        area.warn(where, f"{text}; calls for sessions that moved there are answered with an error", remedy)
        return
    if ids & await own_ids:
        _is_own(area, where)
    else:
        area.ok(where, "answers")


def _is_own(area: Area, where: str) -> None:
    area.warn(
        where,
        "is this service's own Redis, and no session can have moved there",
        "let MOVED_TO name the Redis that the sessions move to, or leave it out",
    )


async def _run_ids(settings: Settings) -> set[str]:
    """What the servers that answer call themselves. Raises RedisError or OSError when none answers."""

    async def ask(address: Address | None) -> set[str]:
        async with async_client(settings, address, timeout_s=CONNECT_S) as client:
            await client.ping()
            with suppress(ResponseError):  # the user may not ask
                return {str((await client.info("server"))["run_id"])}
            return set()

    return set().union(*await _answers(map(ask, await _addresses(settings))))


async def _addresses(settings: Settings) -> Sequence[Address | None]:
    """Where to ask: None is the server of `REDIS_URL`. Raises like `_run_ids` when no Sentinel names one."""
    if settings.redis_cluster_nodes:
        return settings.redis_cluster_nodes
    if not settings.redis_sentinel_hosts:
        return [None]
    name = settings.redis_sentinel_name

    async def ask(host: Address) -> Address | None:
        async with async_client_of_sentinel(settings, host, timeout_s=CONNECT_S) as client:
            named = await client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", name)
            return named and (decoded(named[0]), int(named[1]))

    named = set(await _answers(map(ask, settings.redis_sentinel_hosts))) - {None}
    if not named:
        raise RedisError(f"no Sentinel knows a primary with the name {name}")
    return list(named)


async def _answers(asked: Iterable[Awaitable[T]]) -> list[T]:
    """The answers of those that answer. Raises RedisError or OSError when none does."""
    replies = await asyncio.gather(*asked, return_exceptions=True)
    answers = [reply for reply in replies if not isinstance(reply, BaseException)]
    for reply in replies:
        if isinstance(reply, BaseException) and not (answers and isinstance(reply, REDIS_ERRORS)):
            raise reply
    return answers
