"""Observes everything that one call does: its answer, the state after it, every key, the new outbox entries,
the end of the log, the alarms, and the published messages.

All commands of a step go out in one round trip, because the random games make thousands of calls.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis
import redis

from synckairos.core.keys import SessionKeys
from tests.model.driver import CLOCK_KEY, SERVER_KEY, Answer

Keys = dict[str, tuple[bytes, int]]
Command = tuple[str | int, ...]

# Every key but the clock as [key, digest of its value, time (ms) at which it expires]. The fields of a hash
# are sorted, because they come in any order. Of a stream the ends are enough: it only grows and is cut.
FINGERPRINTS = """
local function sorted(key)
  local fields, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    fields[#fields + 1] = #flat[i] .. ':' .. flat[i] .. flat[i + 1]
  end
  table.sort(fields)
  return table.concat(fields, '\\n')
end
local function ends(key)
  local found = redis.call('XINFO', 'STREAM', key)
  for i = 1, #found, 2 do
    found[found[i]] = found[i + 1]
  end
  return found.length .. ' ' .. found['entries-added'] .. ' ' .. found['last-generated-id']
end
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if key ~= ARGV[1] and key ~= ARGV[2] then
    local kind = redis.call('TYPE', key).ok
    local text = kind == 'hash' and sorted(key) or kind == 'stream' and ends(key) or redis.call('DUMP', key)
    found[#found + 1] = { key, redis.sha1hex(text), redis.call('PEXPIRETIME', key) }
  end
end
return found
"""


@dataclass(slots=True)
class Seen:
    """What one call did.

    keys: a digest of each key, and the time (ms) at which it expires; -1 for never
    outbox: the session ids and events that were added to it
    alarms: the sessions in the alarm set, with their times
    newest, logged: the id and event of the log's last entry, and the number of all entries
    messages: the channels and messages that were published
    """

    answer: Answer
    state: Answer
    keys: Keys
    outbox: list[tuple[str, bytes]]
    alarms: dict[str, int]
    newest: tuple[str, bytes] | None
    logged: int
    messages: list[tuple[str, bytes]]


def pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """The pairs of a flat list: names, each with its value."""
    return zip(flat[::2], flat[1::2], strict=True)


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # hiredis takes tuples of any length
    return packed


class Observer:
    """A connection that makes calls, reads keys, and receives the messages of some channels.

    It speaks RESP3, where messages come between the replies. A message arrives at the latest before the reply
    to the command after the one that published it.
    """

    def __init__(self, client: redis.Redis, channels: Sequence[str]) -> None:
        where = client.connection_pool.connection_kwargs
        self.socket = socket.create_connection((where["host"], where["port"]), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader(notEnoughData=self)
        self.messages: list[tuple[str, bytes]] = []
        self.outbox_end = "-"
        self.ask(("HELLO", 3))
        # A message confirms each subscription. There is no reply.
        self.socket.sendall(_packed(("SSUBSCRIBE", *channels)))
        self.ask(("PING",))

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def reset(self) -> None:
        """Empty the server, and forget what was observed."""
        self.ask(("FLUSHALL",))
        self.messages.clear()
        self.outbox_end = "-"

    def ask(self, *commands: Command) -> list[Any]:
        """Run commands in one round trip. The reply to a refused command is the error."""
        self.socket.sendall(b"".join(map(_packed, commands)))
        return [self._reply() for _ in commands]

    def _reply(self) -> Any:
        while True:
            reply = self.reader.gets()
            if reply is self:
                received = self.socket.recv(65_536)
                assert received, "the server closed the connection"
                self.reader.feed(received)
            elif not isinstance(reply, hiredis.PushNotification):
                return reply
            elif reply[0] == b"smessage":
                self.messages.append((reply[1].decode(), reply[2]))

    def play(self, function: str, session_id: str, args: Sequence[str], ms: int) -> Seen:
        """Call `sk_<function>` for a session at the server time `ms`, and observe what it does."""
        keys = SessionKeys.of(session_id)
        wanted = {"get": keys.all[:1], "log": keys.all[:2]}.get(function, keys.all)
        since = self.outbox_end if self.outbox_end == "-" else f"({self.outbox_end}"
        self.messages.clear()
        replies = self.ask(
            ("SET", CLOCK_KEY, ms),
            ("FCALL", f"sk_{function}", len(wanted), *wanted, *args),
            ("FCALL_RO", "sk_get", 1, keys.session),
            ("EVAL", FINGERPRINTS, 0, CLOCK_KEY, SERVER_KEY),
            ("XRANGE", keys.outbox, since, "+"),
            ("ZRANGE", keys.alarms, 0, -1, "WITHSCORES"),
            ("XREVRANGE", keys.log, "+", "-", "COUNT", 1),
            ("XLEN", keys.log),
        )
        messages = self.messages.copy()
        _, answer, state, found, added, alarms, newest, logged = replies
        if added:
            self.outbox_end = added[-1][0].decode()
        entries = [dict(pairs(fields)) for _, fields in added]
        beside = {b"traceparent"} if "TRACEPARENT" in args else set()
        assert all(set(entry) == {b"id", b"e"} | beside for entry in entries)
        return Seen(
            Answer.of(answer),
            Answer.of(state),
            {name.decode(): (digest, expires) for name, digest, expires in found},
            [(entry[b"id"].decode(), entry[b"e"]) for entry in entries],
            {session.decode(): int(score) for session, score in alarms},
            (newest[0][0].decode(), dict(pairs(newest[0][1]))[b"e"]) if newest else None,
            logged,
            messages,
        )
