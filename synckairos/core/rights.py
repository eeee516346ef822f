"""What the user of Redis has to be allowed, tried with commands that change nothing.

Functions run with the rights of their caller. So a user who may call `FCALL` and not `HSET` reaches the
server, has the library, and gets an error from every function that writes. `ACL DRYRUN` would tell, but it is
an administrator's command. A server judges the rights of a command before it looks at keys, slots and
arguments, on replicas and nodes of a cluster too. So each command is sent in a form that, where it is
allowed, does nothing or ends with another error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import hiredis
import redis
import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from synckairos.core import keys
from synckairos.core.keyspace import GONE_EVENTS
from synckairos.core.wire import Command

QUEUE_KEYS = "~rq:* ~synckairos:audit:*"
"""The patterns of the keys of the queue, as `ACL SETUSER` takes them."""

_KEY = keys.rights("00")
_BUCKET = keys.rate_limit("rights")

OF_FUNCTIONS: tuple[Command, ...] = (
    ("EXISTS", _KEY),
    ("HDEL", _KEY, "field"),
    ("HEXISTS", _KEY, "field"),
    ("HGET", _KEY, "field"),
    ("HGETALL", _KEY),
    ("HMGET", _KEY, "field"),
    ("HSET", _KEY, "field", "value", "a field without a value"),
    ("PEXPIRE", _KEY, 1),
    ("PTTL", _KEY),
    ("SPUBLISH", _KEY, ""),
    ("TIME",),
    ("UNLINK", _KEY),
    ("XLEN", _KEY),
    ("XADD", _KEY, "NOMKSTREAM", "*", "field", "value"),
    ("XRANGE", _KEY, "-", "+"),
    ("XREVRANGE", _KEY, "+", "-"),
    ("ZADD", _KEY, "XX", 1, "member"),
    ("ZRANGE", _KEY, 0, 0),
    ("ZREM", _KEY, "member"),
    ("ZSCORE", _KEY, "member"),
    ("HMGET", _BUCKET, "field"),
    ("HSET", _BUCKET, "field", "value", "a field without a value"),
    ("PEXPIRE", _BUCKET, 1),
)
"""What the functions of the library call, but for `INFO`, which they can do without."""

OF_SERVICE: tuple[Command, ...] = (
    ("PING",),
    ("FUNCTION", "LIST", "LIBRARYNAME", "none"),
    ("FUNCTION", "LOAD", ""),
    ("FCALL", "sk_info", 0),
    ("FCALL_RO", "sk_info", 0),
    ("WATCH", keys.library("00")),
    ("UNWATCH",),
    ("MULTI",),
    ("DISCARD",),
    ("EXEC",),
    ("WAIT", 0, 0),
    ("GET", _KEY),
    ("SET", _KEY, "value", "XX"),
    ("DEL", _KEY),
    ("EXPIRE", _KEY, 1),
    ("ZCARD", _KEY),
    ("ZCOUNT", _KEY, 0, 0),
    ("XTRIM", _KEY, "MAXLEN", 0),
    ("XGROUP", "CREATE", _KEY, "audit", "0"),
    ("XGROUP", "DELCONSUMER", _KEY, "audit", "nobody"),
    ("XINFO", "CONSUMERS", _KEY, "audit"),
    ("XREADGROUP", "GROUP", "audit", "nobody", "STREAMS", _KEY, ">"),
    ("XAUTOCLAIM", _KEY, "audit", "nobody", 0, "0"),
    ("XDEL", _KEY, "1-1"),
    ("XACK", _KEY, "audit", "1-1"),
    # From here on the connection takes nothing but these.
    ("SSUBSCRIBE", _KEY),
    ("SUNSUBSCRIBE", _KEY),
    ("SUBSCRIBE", f"__keyevent@0__:{GONE_EVENTS[0]}"),
    ("UNSUBSCRIBE", f"__keyevent@0__:{GONE_EVENTS[0]}"),
)
"""What the service itself calls, with `DATABASE_URL` and without."""

_QUEUE = "rq:rights"
_LEASE = "synckairos:audit:rights"

OF_QUEUE: tuple[Command, ...] = (
    ("DEL", _QUEUE),
    ("EXISTS", _QUEUE),
    ("EXPIRE", _QUEUE, 1),
    ("PERSIST", _QUEUE),
    ("HGET", _QUEUE, "field"),
    ("HGETALL", _QUEUE),
    ("HINCRBY", _QUEUE, "field", 1),
    ("HINCRBYFLOAT", _QUEUE, "field", 1),
    ("HSET", _QUEUE, "field", "value"),
    ("BLMOVE", _QUEUE, _QUEUE, "LEFT", "RIGHT", 1),
    ("LLEN", _QUEUE),
    ("LRANGE", _QUEUE, 0, 0),
    ("LREM", _QUEUE, 0, "element"),
    ("RPUSH", _QUEUE, "element"),
    ("SADD", _QUEUE, "member"),
    ("SMEMBERS", _QUEUE),
    ("SREM", _QUEUE, "member"),
    ("XADD", _QUEUE, "*", "field", "value"),
    ("XREVRANGE", _QUEUE, "+", "-"),
    ("ZADD", _QUEUE, 1, "member"),
    ("ZCARD", _QUEUE),
    ("ZRANGE", _QUEUE, 0, 0),
    ("ZRANGEBYSCORE", _QUEUE, 0, 0),
    ("ZREM", _QUEUE, "member"),
    ("ZREMRANGEBYSCORE", _QUEUE, 0, 0),
    ("GET", _LEASE),
    ("PEXPIRE", _LEASE, 1),
    ("SET", _LEASE, "value"),
    ("EVALSHA", "0" * 40, 0),
    ("SCRIPT", "LOAD", "return 1"),
    ("INFO",),
    ("WATCH", _QUEUE),
)
"""What rq and the worker call at the queue's server."""

_WITH_SUBCOMMANDS = frozenset({"FUNCTION", "SCRIPT", "XGROUP", "XINFO"})

What = Literal["command", "key", "channel"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that the user may not call, or not with these keys or channels.

    command: its name, as in "FUNCTION LOAD"
    """

    command: str
    what: What

    def grant(self, keys: str) -> str:
        """What `ACL SETUSER` takes to allow it. `keys`: the patterns of the keys that it is about."""
        match self.what:
            case "command":
                return "+" + self.command.lower().replace(" ", "|")
            case "key":
                return keys
            case "channel":
                return "&sk:* &__keyevent@*"


async def refusals(client: redis.asyncio.Redis, commands: Sequence[Command]) -> list[Refusal]:
    """Which of these commands the server refuses to the user of the client. Raises RedisError, OSError."""
    pool = client.connection_pool
    connection = await pool.get_connection()
    found: dict[Refusal, None] = {}
    try:
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub allows only 1-tuples
        await connection.send_packed_command(packed)
        for command in commands:
            try:
                await connection.read_response()
            except NoPermissionError as error:
                found[Refusal(_name(command), _refused(str(error)))] = None
            except ResponseError:
                continue  # allowed, and it does nothing here
    finally:
        # It may be subscribed to something by now, or have replies to come.
        await connection.disconnect(nowait=True)
        await pool.release(connection)
    return list(found)


def refusals_of_queue(client: redis.Redis) -> list[Refusal]:
    """Which commands of OF_QUEUE the server refuses to the user of the client. Raises RedisError, OSError.

    Most of them have no form that does nothing. So they are put into a transaction, which is discarded: a
    server judges the rights of a command when it takes it in.
    """
    begin, end = ("MULTI",), ("DISCARD",)
    # Without a transaction they would be carried out.
    return _refused_at_once(client, (begin, end)) or _refused_at_once(client, (begin, *OF_QUEUE, end))


def _refused_at_once(client: redis.Redis, commands: Sequence[Command]) -> list[Refusal]:
    pool = client.connection_pool
    connection = pool.get_connection()
    found: dict[Refusal, None] = {}
    try:
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # as above
        connection.send_packed_command(packed)
        for command in commands:
            try:
                connection.read_response()
            except NoPermissionError as error:
                found[Refusal(_name(command), _refused(str(error)))] = None
            except ResponseError:
                continue  # allowed, and not in a transaction
    finally:
        connection.disconnect()
        pool.release(connection)
    return list(found)


def remedy(user: str, refused: Iterable[Refusal], *, keys: str = "~sk:*") -> str:
    """What an administrator of the server has to send, so that the user may do all of this.

    keys: the patterns of the keys that it is about
    """
    grants = dict.fromkeys(grant for refusal in refused for grant in refusal.grant(keys).split())
    return f"ACL SETUSER {user} {' '.join(grants)}"


def user_of(client: redis.asyncio.Redis | redis.Redis) -> str:
    """The user whose rights the client has."""
    return str(client.connection_pool.connection_kwargs.get("username") or "default")


def _name(command: Command) -> str:
    return " ".join(map(str, command[: 2 if command[0] in _WITH_SUBCOMMANDS else 1]))


def _refused(text: str) -> What:
    """What a server refuses, by the text of its error, which has other words in each release."""
    if "run the" in text:
        return "command"
    return "channel" if "channel" in text else "key"
