"""The servers with the sessions: reachable, new enough, with the rights and the settings that are needed.

Nothing is changed. Whether a command is allowed is tried in a form that does nothing: see
`synckairos.core.rights`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from synckairos.config import Address, Settings
from synckairos.core import library, rights
from synckairos.core.clients import async_client, async_client_of_sentinel
from synckairos.core.keyspace import FLAGS, missing_flags
from synckairos.core.library import Library, LibraryStatus
from synckairos.doctor import memory, slowness
from synckairos.doctor.findings import Area, Finding
from synckairos.doctor.trouble import (
    CONNECT_S,
    address_text,
    decoded,
    redis_trouble,
    release,
    sentinel_trouble,
)
from synckairos.realtime.server_time import Offset

OLDEST: Mapping[str, tuple[int, int]] = {"Redis": (7, 0), "Valkey": (8, 0)}
"""The oldest release of each server that the service works with."""
CLOCK_MS = 1000.0
"""How far a server's clock may be from this machine's before the doctor warns."""
CLOCK_SAMPLES = 5
FULL = 0.8
"""The part of `maxmemory` in use from which on the doctor warns, as the alert does."""
PINGS = 5
SLOW_MS = 20.0
"""From how long on the way to a server and back is slow. In one place it takes less than 1 ms."""

_SERVER_SETTINGS = (
    "notify-keyspace-events",
    "appendonly",
    "appendfsync",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
)


async def redis_servers(settings: Settings) -> list[Finding]:
    """The servers with the sessions, each an area of its own."""
    if settings.redis_cluster_nodes:
        return await _cluster(settings)
    if settings.redis_sentinel_hosts:
        return await _sentinels(settings)
    area = Area("Redis")
    where = settings.redis_url.rpartition("@")[2].rpartition("://")[2].partition("?")[0]
    if urlsplit(settings.redis_url).scheme != "unix":
        where = where.partition("/")[0]
    return await area.run(_server(area, settings, None, where))


async def _sentinels(settings: Settings) -> list[Finding]:
    """Each Sentinel, and the primary that they name."""
    area = Area("Sentinel")
    named: dict[Address, int] = {}
    views: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = []

    async def ask(host: Address) -> None:
        client = async_client_of_sentinel(settings, host, timeout_s=CONNECT_S)
        try:
            found = await client.execute_command(
                "SENTINEL GET-MASTER-ADDR-BY-NAME", settings.redis_sentinel_name
            )
        except (RedisError, OSError) as error:
            text, remedy = sentinel_trouble(error, address_text(host))
            (area.warn if len(settings.redis_sentinel_hosts) > 1 else area.fail)(
                address_text(host), text, remedy
            )
        else:
            if found is None:
                area.fail(
                    address_text(host),
                    f"does not know a primary with the name {settings.redis_sentinel_name}",
                    "REDIS_SENTINEL_NAME has to be the name in `sentinel monitor <name> …` of its settings",
                )
                return
            address = decoded(found[0]), int(found[1])
            named[address] = named.get(address, 0) + 1
            area.ok(address_text(host), f"names {address_text(address)} as the primary")
            with suppress(RedisError, OSError):
                views.append(await _view(client, settings.redis_sentinel_name or ""))
        finally:
            await client.aclose()

    await area.run(_together(*map(ask, settings.redis_sentinel_hosts)))
    _could_replace(area, views)
    if not named:
        area.fail("primary", "no Sentinel names one", "the Sentinels above have to answer first")
        return area.findings
    if len(named) > 1:
        area.warn(
            "agreement",
            f"they name different primaries: {', '.join(map(address_text, named))}",
            "during a failover this is normal for a moment; otherwise look into the Sentinels' logs",
        )
    primary = max(named, key=named.__getitem__)
    server = Area(f"Redis {address_text(primary)}")
    return area.findings + await server.run(_server(server, settings, primary, address_text(primary)))


async def _view(client: redis.asyncio.Redis, name: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """What a Sentinel knows of the primary, and of each of its replicas. Raises RedisError."""
    primary = await client.execute_command("SENTINEL MASTER", name)
    return _fields(primary), [
        _fields(replica) for replica in await client.execute_command("SENTINEL REPLICAS", name)
    ]


def _fields(reply: Any) -> Mapping[str, Any]:
    """Names and values by turns, or a mapping of them, as a mapping of texts."""
    pairs = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    return {decoded(name): decoded(value) for name, value in pairs}


def _could_replace(area: Area, views: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]) -> None:
    """Whether the Sentinels would replace a primary that fails: enough answer, and it has a replica."""
    if not views or "num-other-sentinels" not in views[0][0]:
        return
    primary, replicas = views[0]
    known = int(primary["num-other-sentinels"]) + 1
    needed = max(int(primary["quorum"]), known // 2 + 1)
    if len(views) < needed:
        area.fail(
            "majority",
            f"{len(views)} of {known} Sentinels answer, and {needed} have to agree: a primary that fails is "
            "not replaced",
            "start the Sentinels above that do not answer",
        )
    else:
        area.ok("majority", f"{len(views)} of {known} Sentinels answer, and {needed} have to agree")
    usable = [each for each in replicas if not {"s_down", "disconnected"} & {*each["flags"].split(",")}]
    if usable:
        area.ok("replicas", f"{_count(len(usable))} to choose from")
    else:
        area.warn(
            "replicas",
            f"none of {len(replicas)} answers: a primary that fails is not replaced",
            "start a replica (replicaof <host> <port> in its settings), or the primary itself",
        )


async def _cluster(settings: Settings) -> list[Finding]:
    """The nodes that are configured, and all primaries that they name."""
    area = Area("Cluster")
    maps: list[list[Any]] = []

    async def ask(node: Address) -> None:
        client = async_client(settings, node, timeout_s=CONNECT_S)
        try:
            found = await client.execute_command("CLUSTER SLOTS")
        except (RedisError, OSError) as error:
            if "cluster support disabled" in str(error):
                area.fail(
                    address_text(node),
                    "is a server of its own and not part of a cluster",
                    f"REDIS_URL=redis://{address_text(node)}/0 instead of REDIS_CLUSTER_NODES",
                )
                return
            text, remedy = redis_trouble(error, address_text(node), "REDIS_CLUSTER_NODES")
            (area.warn if len(settings.redis_cluster_nodes) > 1 else area.fail)(
                address_text(node), text, remedy
            )
        else:
            area.ok(address_text(node), "answers")
            maps.append([(first, last, primary, node) for first, last, primary, *_ in found])
        finally:
            await client.aclose()

    await area.run(_together(*map(ask, settings.redis_cluster_nodes)))
    slots = max(maps, key=len, default=[])
    primaries: dict[Address, int] = {}
    for first, last, primary, asked in slots:
        # A node that does not know its own host has the one that was asked.
        address = decoded(primary[0] or b"") or asked[0], int(primary[1])
        primaries[address] = primaries.get(address, 0) + last - first + 1
    served = sum(primaries.values())
    if served < _SLOTS:
        area.fail(
            "slots",
            f"{served:,} of {_SLOTS:,} are served: sessions in the others cannot be reached",
            "redis-cli --cluster check <host:port>, and --cluster fix where that says so",
        )
    else:
        area.ok("slots", f"all {_SLOTS:,} are served, by {len(primaries)} primaries")
    servers = [Area(f"Redis {address_text(address)}") for address in primaries]
    found = await asyncio.gather(
        *(
            server.run(_server(server, settings, address, address_text(address)))
            for server, address in zip(servers, primaries, strict=True)
        )
    )
    return area.findings + [finding for findings in found for finding in findings]


_SLOTS = 16_384


async def _together(*checks: Coroutine[Any, Any, None]) -> None:
    await asyncio.gather(*checks)


async def _server(area: Area, settings: Settings, address: Address | None, where: str) -> None:
    """A server that holds sessions, which has to be a primary."""
    client = async_client(settings, address, timeout_s=CONNECT_S)
    try:
        try:
            await client.ping()
            took_ms = await _fastest_ms(client)
        except (RedisError, OSError) as error:
            text, remedy = redis_trouble(error, where, "REDIS_URL")
            area.fail("reachable", text, remedy)
            return
        if took_ms < SLOW_MS:
            area.ok("reachable", f"{where} answers in {took_ms:.1f} ms")
        else:
            area.warn(
                "reachable",
                f"{where} answers in {took_ms:.1f} ms",
                "if it had no slow commands, look at the network on the way to it: all requests wait for it",
            )
        info = await _info(client)
        if info is None:
            area.warn(
                "version",
                "the server does not tell its version: the user may not call INFO",
                "give the user +info, or make sure that the server is Redis 7.0 or Valkey 8, or newer",
            )
        elif not _version(area, info) or not _role(area, info, settings, where):
            return
        user = rights.user_of(client)
        if not await _rights(area, client, user):
            return
        await _library(area, client)
        await _server_settings(area, client, info or {}, user)
        if info is not None:
            _replicas(area, info, settings)
            _disk(area, info, settings)
            await _emptied(area, client, info)
        await slowness.slowness(area, client)
        await _clock(area, client)
    finally:
        await client.aclose()


async def _fastest_ms(client: redis.asyncio.Redis) -> float:
    """How long the way there and back takes: the fastest of a few, as machines are busy at times."""
    times = []
    for _ in range(PINGS):
        began = monotonic()
        await client.ping()
        times.append(1000 * (monotonic() - began))
    return min(times)


async def _info(client: redis.asyncio.Redis) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = await client.info()
    except ResponseError:  # among them: no permission
        return None
    return found


def _version(area: Area, info: Mapping[str, Any]) -> bool:
    """Whether it is a server of a kind and age that has what is needed."""
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    oldest = OLDEST[product]
    if release(version) >= oldest:
        area.ok("version", f"{product} {version}")
        return True
    area.fail(
        "version",
        f"{product} {version} is too old: it lacks what the function library needs",
        f"install {product} {'.'.join(map(str, oldest))} or newer",
    )
    return False


def _role(area: Area, info: Mapping[str, Any], settings: Settings, where: str) -> bool:
    """Whether it is a server of the kind that the settings name, and takes changes."""
    mode = info.get("redis_mode") or info.get("server_mode")
    if mode == "sentinel":
        area.fail(
            "kind",
            "is a Sentinel and holds no sessions",
            f"REDIS_SENTINEL_HOSTS={where} and REDIS_SENTINEL_NAME; REDIS_URL only has user and password",
        )
        return False
    if mode == "cluster" and not settings.redis_cluster_nodes:
        area.fail("kind", "is a node of a cluster", f"REDIS_CLUSTER_NODES={where}")
        return False
    if info.get("role") == "slave":
        primary = info.get("master_host"), info.get("master_port")
        area.fail(
            "kind",
            f"is a replica of {primary[0]}:{primary[1]} and takes no changes",
            "let REDIS_URL name the primary, or find it through REDIS_SENTINEL_HOSTS",
        )
        return False
    return True


async def _rights(area: Area, client: redis.asyncio.Redis, user: str) -> bool:
    """Whether the user may do what the service and its functions do. None of it is carried out."""
    refused = await rights.refusals(client, (*rights.OF_FUNCTIONS, *rights.OF_SERVICE))
    if not refused:
        area.ok("rights", f"the user {user} may do what the service does")
        return True
    area.fail(
        "rights",
        f"the user {user} may not do what the service and its functions do: "
        f"{'; '.join(dict.fromkeys(refusal.command for refusal in refused))}",
        f"as an administrator: {rights.remedy(user, refused)}",
    )
    return False


async def _library(area: Area, client: redis.asyncio.Redis) -> None:
    own = Library.assemble()
    found = await library.library_status(client, own)
    load = "the service does that when it starts; by hand: synckairos functions load"
    match found:
        case LibraryStatus.SAME:
            area.ok("library", f"synckairos {own.version} is loaded")
        case LibraryStatus.NEWER:
            area.ok("library", f"a newer one than this release's {own.version} is loaded, and stays")
        case LibraryStatus.MISSING:
            area.warn("library", "the function library is not loaded yet", load)
        case LibraryStatus.OLDER:
            area.warn("library", f"an older one than this release's {own.version} is loaded", load)
        case LibraryStatus.CHANGED:
            area.fail(
                "library",
                f"synckairos {own.version} is loaded with other code, and the service will not start",
                "find out who loaded it; if it is meant to be replaced: synckairos functions load --force",
            )


async def _server_settings(
    area: Area, client: redis.asyncio.Redis, info: Mapping[str, Any], user: str
) -> None:
    """Settings of the server that decide which sessions survive a restart, a power cut or a full memory."""
    try:
        found = {name: str(value) for name, value in (await client.config_get(*_SERVER_SETTINGS)).items()}
    except ResponseError:
        area.warn(
            "server settings",
            "the server does not show them",
            f"make sure that it has notify-keyspace-events {FLAGS}, appendonly yes, maxmemory-policy "
            "noeviction; or allow the user CONFIG GET",
        )
        return
    _fence(area, info, int(found.get("min-replicas-to-write", 0)))
    await _keyspace_events(area, client, found.get("notify-keyspace-events", ""), user)
    if found.get("appendonly") == "no":
        area.warn(
            "appendonly",
            "no: a restart of the server loses sessions",
            "appendonly yes in its settings; now: redis-cli CONFIG SET appendonly yes",
        )
    elif found.get("appendfsync") == "no":
        area.warn(
            "appendfsync",
            "no: a power cut loses half a minute of changes",
            "appendfsync everysec in its settings; now: redis-cli CONFIG SET appendfsync everysec",
        )
    else:
        area.ok("appendonly", f"yes, appendfsync {found.get('appendfsync')}")
    policy, maximum = found.get("maxmemory-policy", "noeviction"), int(found.get("maxmemory", 0))
    if maximum and policy != "noeviction":
        area.warn(
            "maxmemory-policy",
            f"{policy}: when its memory is full, the server drops running sessions",
            "maxmemory-policy noeviction in its settings; now: redis-cli CONFIG SET maxmemory-policy "
            "noeviction",
        )
    else:
        area.ok("maxmemory-policy", policy if maximum else f"{policy}; maxmemory 0: there is no limit")
    used = int(info.get("used_memory", 0))
    if maximum and used > FULL * maximum:
        area.warn(
            "memory",
            f"{used / maximum:.0%} of maxmemory is used: a full server creates no sessions. "
            f"The most have {await _shares(client)}",
            "give it more memory (redis-cli CONFIG SET maxmemory), and take away what grew",
        )
    elif maximum:
        area.ok("memory", f"{used / maximum:.0%} of maxmemory is used")


async def _shares(client: redis.asyncio.Redis) -> str:
    try:
        return await memory.shares(client)
    except ResponseError:
        return "keys that are not known: the user may not call SCAN, DBSIZE and MEMORY USAGE"


async def _keyspace_events(area: Area, client: redis.asyncio.Redis, flags: str, user: str) -> None:
    missing = missing_flags(flags)
    if not missing:
        area.ok("notify-keyspace-events", flags)
        return
    wanted = flags + missing
    with suppress(ResponseError):
        reply = await client.execute_command(
            "ACL DRYRUN", user, "CONFIG", "SET", "notify-keyspace-events", wanted
        )
        if decoded(reply) == "OK":
            area.ok("notify-keyspace-events", f"{flags!r}: the service adds {missing} when it starts")
            return
    area.warn(
        "notify-keyspace-events",
        f"{flags!r}: the service notices seconds late when a session is deleted by hand, evicted or aged out",
        f"notify-keyspace-events {wanted} in its settings; now: redis-cli CONFIG SET notify-keyspace-events "
        f"{wanted}",
    )


async def _emptied(area: Area, client: redis.asyncio.Redis, info: Mapping[str, Any]) -> None:
    """Whether the server lately lost its sessions: it began without its data, or somebody deleted all."""
    uptime_s = int(info.get("uptime_in_seconds", 0))
    calls = await client.info("commandstats")
    flushes = {
        name: int(calls[f"cmdstat_{name.lower()}"]["calls"])
        for name in ("FLUSHALL", "FLUSHDB")
        if f"cmdstat_{name.lower()}" in calls
    }
    said = ", ".join(f"{name} {count} times" for name, count in flushes.items())
    if flushes:
        area.warn(
            "emptied",
            f"somebody called {said} since the server started: that deletes all sessions",
            "find out who: redis-cli ACL LOG, CLIENT LIST; forbid it: ACL SETUSER <user> -flushall -flushdb",
        )
    if uptime_s < slowness.LATELY_S and not info.get("aof_enabled"):
        area.warn(
            "started",
            f"{uptime_s} s ago, without appendonly: it began with what its last snapshot had, or empty",
            "appendonly yes in its settings; look into its log for why it ended",
        )
    else:
        area.ok("started", f"{uptime_s:,} s ago")


def _fence(area: Area, info: Mapping[str, Any], to_write: int) -> None:
    """Whether the server refuses all writes, because fewer replicas are in step than it wants."""
    in_step = info.get("min_slaves_good_slaves")  # it is not there when the lag is 0, which means no fence
    if in_step is None or int(in_step) >= to_write:
        return
    missing = to_write - int(in_step)
    area.fail(
        "min-replicas-to-write",
        f"{to_write}, and {_count(int(in_step))} in step: the server refuses all writes, and changes are "
        "answered with 503",
        f"start {_count(missing, 'more ')} (replicaof <host> <port> in their settings), or look why they do "
        f"not keep up; to do without: redis-cli CONFIG SET min-replicas-to-write {in_step}",
    )


def _count(replicas: int, more: str = "") -> str:
    return f"{replicas} {more}replica{'' if replicas == 1 else 's'}"


def _replicas(area: Area, info: Mapping[str, Any], settings: Settings) -> None:
    """Whether the server has as many replicas as the settings rely on."""
    entries = (info.get(f"slave{number}") for number in range(int(info.get("connected_slaves", 0))))
    online = sum(isinstance(entry, dict) and entry.get("state") == "online" for entry in entries)
    wanted = settings.replicas or 1
    if settings.durability != "async" and online < wanted:
        given = "" if settings.replicas is None else f" with REPLICAS={wanted}"
        fewer = f", or REPLICAS={online} at most" if online else ""
        area.fail(
            "replicas",
            f"{online or 'none'} in step, and DURABILITY is {settings.durability}{given}: every change is "
            "answered with 503 NOT_REPLICATED",
            f"start {_count(wanted - online, 'more ' if online else '')} (replicaof <host> <port> in their "
            f"settings){fewer}, or DURABILITY=async",
        )
    elif online:
        area.ok("replicas", f"{online} in step")
    elif settings.redis_sentinel_hosts:
        area.warn(
            "replicas",
            "none: when this server fails, Sentinel has no other to take its place",
            "start a replica (replicaof <host> <port> in its settings)",
        )


def _disk(area: Area, info: Mapping[str, Any], settings: Settings) -> None:
    """Whether the server can say that a change is on disk, where the settings rely on it."""
    if settings.durability != "durable":
        return
    number = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if number < (7, 2) and "valkey_version" not in info:
        area.fail(
            "disk",
            "the server has no WAITAOF, and DURABILITY is durable: every change is answered with 503 "
            "NOT_REPLICATED",
            "use Redis 7.2 or newer, or Valkey, or DURABILITY=replicated",
        )
    elif not info.get("aof_enabled"):
        area.fail(
            "disk",
            "appendonly is no, and DURABILITY is durable: every change is answered with 503 NOT_REPLICATED",
            "appendonly yes in the settings of the server, and of its replicas",
        )
    else:
        area.ok("disk", "changes are on disk before they are acknowledged")


async def _clock(area: Area, client: redis.asyncio.Redis) -> None:
    """The server's clock, by which sessions run, compared with this machine's."""
    offset = Offset()
    for _ in range(CLOCK_SAMPLES):
        sent = monotonic()
        seconds, microseconds = await client.time()
        offset.add(sent, 1000.0 * seconds + microseconds / 1000.0, monotonic())
    apart = offset.offset_ms - 1000.0 * (time() - monotonic())
    said = f"{abs(apart):,.0f} ms {'ahead of' if apart > 0 else 'behind'} this machine's"
    if abs(apart) <= CLOCK_MS + offset.uncertainty_ms:
        area.ok("clock", f"{said} (± {offset.uncertainty_ms:.1f} ms)")
    else:
        area.warn(
            "clock",
            f"{said}: sessions run correctly, by the server's clock, but their times of day differ from "
            "this machine's",
            "run a time service (chrony, systemd-timesyncd) on both machines",
        )
