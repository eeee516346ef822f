"""Sees everything that one call does, in one round trip: its answer, the state after it, every key, the new
outbox entries, the log's end, the alarms, and what was published.

The random games make some ten thousand calls, so the commands of a step go out together."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis
import redis

from synckairos.core.keys import SessionKeys
from tests.model.driver import CLOCK_KEY, Answer

Keys = dict[str, tuple[bytes, int]]
Command = tuple[str | int, ...]

# Every key but the clock as [key, digest of what it holds, instant at which it expires]. The fields of a hash
# come in any order; a stream can only grow at its end and be cut.
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
  if key ~= ARGV[1] then
    local kind = redis.call('TYPE', key).ok
    local text = kind == 'hash' and sorted(key) or kind == 'stream' and ends(key) or redis.call('DUMP', key)
    found[#found + 1] = { key, redis.sha1hex(text), redis.call('PEXPIRETIME', key) }
  end
end
return found
"""


@dataclass(slots=True)
class Seen:
    """What one call did. `keys` has a digest of each key and the instant (ms) at which it expires, -1 for
    never; `outbox` the session ids and events that were added to it; `newest` the log's last entry, with the
    number of all in `logged`; `messages` the channels and what was published there."""

    answer: Answer
    state: Answer
    keys: Keys
    outbox: list[tuple[str, bytes]]
    alarms: dict[str, int]
    newest: tuple[str, bytes] | None
    logged: int
    messages: list[tuple[str, bytes]]


def pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Names, each with what stands after it."""
    return zip(flat[::2], flat[1::2], strict=True)


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # it takes tuples of any length
    return packed


class Observer:
    """A connection that calls, looks, and hears what is published on some channels.

    It speaks RESP3, where messages come between the replies, and reads what a command published at the latest
    before the reply to the next one."""

    def __init__(self, client: redis.Redis, channels: Sequence[str]) -> None:
        where = client.connection_pool.connection_kwargs
        self.socket = socket.create_connection((where["host"], where["port"]), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader(notEnoughData=self)
        self.messages: list[tuple[str, bytes]] = []
        self.outbox_end = "-"
        self.ask(("HELLO", 3))
        # Each subscription is confirmed by a message, and has no reply of its own.
        self.socket.sendall(_packed(("SSUBSCRIBE", *channels)))
        self.ask(("PING",))

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def forget(self) -> None:
        """Empty the server."""
        self.ask(("FLUSHALL",))
        self.messages.clear()
        self.outbox_end = "-"

    def ask(self, *commands: Command) -> list[Any]:
        """Some commands in one round trip; the reply of one that is refused is the error."""
        self.socket.sendall(b"".join(map(_packed, commands)))
        return [self._reply() for _ in commands]

    def _reply(self) -> Any:
        while True:
            reply = self.reader.gets()
            if reply is self:
                received = self.socket.recv(65_536)
                assert received, "the server hung up"
                self.reader.feed(received)
            elif not isinstance(reply, hiredis.PushNotification):
                return reply
            elif reply[0] == b"smessage":
                self.messages.append((reply[1].decode(), reply[2]))

    def play(self, function: str, session_id: str, args: Sequence[str], ms: int) -> Seen:
        """`sk_<function>` for a session at the server time `ms`."""
        keys = SessionKeys.of(session_id)
        wanted = {"get": keys.all[:1], "log": keys.all[:2]}.get(function, keys.all)
        since = self.outbox_end if self.outbox_end == "-" else f"({self.outbox_end}"
        self.messages.clear()
        replies = self.ask(
            ("SET", CLOCK_KEY, ms),
            ("FCALL", f"sk_{function}", len(wanted), *wanted, *args),
            ("FCALL_RO", "sk_get", 1, keys.session),
            ("EVAL", FINGERPRINTS, 0, CLOCK_KEY),
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
        assert all(set(entry) == {b"id", b"e"} for entry in entries)
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
