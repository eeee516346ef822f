"""Sockets of all roles on the same sessions: valid messages and frames, and almost valid ones.

What is made up are messages (fields, types, names, order, repeats), frames (parts, reserved bits, codes,
lengths, bytes that are no UTF-8), tokens that renew, and handshakes. After each burst the client asks for the
time, and the answer shows that all before it was answered.

Of what comes back: it is JSON of a known type, an error is one of the contract's and never a failure of the
service, each message is answered once, events come in order without gaps unless a whole state covers them,
and a socket is closed with the code of what was wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import suppress
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from synckairos import errors
from tests.fuzz.mutations import as_json, changed_text, changed_value
from tests.fuzz.report import Report, TooManyFailures
from tests.fuzz.target import PATIENCE_S, PEOPLE, SESSIONS, Target, token

ACTORS = 6
"""How many sockets are open at the same time."""
LOOK_EVERY = 5000
ANSWERS = {"PONG", "ACK", "RECONNECT_ACK", "ERROR"}
TOLD = {"CONNECTED", "STATE_SYNC", "SESSION_DELETED", "TOKEN_EXPIRES"}
"""What is sent to a client without being an answer or an event."""
LARGEST = 65_536
BINARY, TOO_LARGE, NO_UTF8, NO_FRAME, ENDED = 1003, 1009, 1007, 1002, 1000
NOT_LET_IN = {1008, 4401, 4403, 4404}
SUBPROTOCOL = Subprotocol("synckairos.v1")
ROLES = ["viewer", "player", "service", "moderator", "admin", "link"]

_numbers = itertools.count(7 * 10**12)  # which no other message has


class Socket:
    """A client's end of a WebSocket, which can send anything."""

    def __init__(self, report: Report, about: Any) -> None:
        self.report, self.about = report, about
        self.answers = 0
        self.sent: list[bytes] = []
        """The newest messages, for the report."""
        self.closed = asyncio.Event()
        self.heard = asyncio.Event()
        """Set whenever something came."""
        self.pong: Any = None
        """What the newest PONG gives back."""
        self.status = 0
        """Of the handshake."""
        self._version: int | None = None
        """The version of the newest event; None when any may come next."""
        self._protocol: ClientProtocol | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, url: str, headers: list[tuple[str, str]]) -> None:
        """Connect, and wait for the answer to the handshake."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port)
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[SUBPROTOCOL], max_size=None)
        request = self._protocol.connect()
        del request.headers["Sec-WebSocket-Protocol"]
        for name, value in headers:
            with suppress(KeyError):
                if name not in ("Authorization", "Sec-WebSocket-Protocol"):
                    del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()
        self._reading = asyncio.create_task(self._read(reader))
        await self.until(lambda: bool(self.status))

    async def close(self) -> None:
        """Break the connection."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.transport.abort()

    def send(self, *frames: bytes) -> None:
        """Send bytes, whatever they are."""
        assert self._writer is not None
        if not self.closed.is_set():
            self._writer.write(b"".join(frames))

    async def until(self, condition: Any) -> bool:
        """Wait for a condition, or the end of the connection; False when neither comes in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not condition() and not self.closed.is_set():
                    self.heard.clear()
                    await self.heard.wait()
                return True
        self.report.fail("a socket waited in vain", self.about, self.sent[-30:])
        return False

    @property
    def code(self) -> int | None:
        """The code of the server's close frame."""
        close = None if self._protocol is None else self._protocol.close_rcvd
        return None if close is None else close.code

    def _flush(self) -> None:
        assert self._protocol is not None
        assert self._writer is not None
        for data in self._protocol.data_to_send():
            if data and not self._writer.is_closing():
                self._writer.write(data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        assert self._protocol is not None
        try:
            while data := await reader.read(LARGEST):
                self._protocol.receive_data(data)
                for event in self._protocol.events_received():
                    self._got(event)
                self._flush()
                self.heard.set()
                if self._protocol.handshake_exc is not None:
                    break  # it was refused, or its key or subprotocol were changed
        except ConnectionError:
            pass
        except TooManyFailures:
            pass
        finally:
            self.status = self.status or -1
            self.closed.set()
            self.heard.set()

    def _got(self, event: Any) -> None:
        if isinstance(event, Response):
            self.status = event.status_code
        elif event.opcode is Opcode.TEXT:
            self._message(bytes(event.data))

    def _message(self, text: bytes) -> None:
        try:
            message = json.loads(text)
            kind, version = message["type"], message["v"]
        except (ValueError, KeyError, TypeError):
            self.report.fail("what came is no message", text, self.about)
            return
        self.report.answers[kind] += 1
        if version != 1:
            self.report.fail("what came is no message", text, self.about)
        if kind in ANSWERS:
            self.answers += 1
            self._answered(kind, message)
        elif kind == "STATE_SYNC":
            self._version = message["version"]
        elif kind not in TOLD:
            if self._version is not None and message["version"] != self._version + 1:
                self.report.fail("an event is missing", self._version, message, self.about, self.sent[-30:])
            self._version = message["version"]

    def _answered(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "PONG":
            self.pong = message["t1"]
        elif kind == "RECONNECT_ACK":
            self._version = None
        elif kind == "ERROR":
            error = message["error"]
            self.report.answers[error["code"]] += 1
            known = errors.CODES.get(error["code"])
            shaped = error.keys() - {"details"} == {"code", "message", "retryable", "context"}
            if known is None or known.status >= 500 or not shaped:
                self.report.fail(
                    "the error is a failure of the service", message, self.about, self.sent[-30:]
                )


def text_frame(text: bytes) -> bytes:
    """A message in one frame."""
    return Frame(Opcode.TEXT, text).serialize(mask=True)


class Actor:
    """Opens one socket after the other, and says things on it."""

    def __init__(self, target: Target, report: Report, rng: Random, cases: int, link: str) -> None:
        self.target, self.report, self.rng, self.cases, self.link = target, report, rng, cases, link

    async def run(self) -> None:
        """Cases, until all actors together have had as many as they shall."""
        while self.report.cases < self.cases:
            if self.rng.random() < 0.5:
                await self._strange_opening()
            else:
                await self._conversation()

    def _pick(self, options: Any) -> Any:
        return self.rng.choice(options)

    def _socket(self, about: Any) -> Socket:
        return Socket(self.report, about)

    def _address(self, query: str) -> str:
        return f"ws{self.target.url.removeprefix('http')}/ws?{query}"

    async def _strange_opening(self) -> None:
        """A handshake that is not quite right: an error of the client's, or a close that says why."""
        self.report.cases += 1
        good = token(*self._pick([["viewer"], ["admin"], ["stranger"], []]))
        ids = [
            *SESSIONS,
            SESSIONS[0].upper(),
            "00000000-0000-4000-8000-000000000000",
            "x",
            "",
            "%00",
            "a" * 4000,
        ]
        names = ["session_id", "session_id", "session_id", "sessionId", "session"]
        query = "&".join(f"{self._pick(names)}={self._pick(ids)}" for _ in range(self._pick([1, 1, 1, 0, 2])))
        bad = [
            *[
                token("viewer", for_s=-100),
                token("viewer", tenant="others"),
                token("viewer", session=SESSIONS[1]),
            ],
            *[good[:-2] + "AA", good + ".x", "x", "sk_0_1", "lk_0_1", "a.b.c", "", "é" * 3, "x" * 7000],
            changed_text(self.rng, good.encode()).decode("latin-1"),
        ]
        headers: list[tuple[str, str]] = []
        for _ in range(self._pick([0, 1, 1, 1, 2])):
            bearer = "".join(each if " " < each <= "~" else "x" for each in self._pick([good, *bad]))
            match self.rng.randrange(4):
                case 0:
                    headers.append(
                        ("Authorization", self._pick(["Bearer ", "bearer ", "Basic ", ""]) + bearer)
                    )
                case 1:
                    headers.append(
                        ("Sec-WebSocket-Protocol", f"synckairos.v1, bearer.{quote(bearer, safe='')}")
                    )
                case 2:
                    query += f"&token={quote(bearer, safe='')}"
        if self.rng.random() < 0.3:
            name = self._pick(
                ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Upgrade", "Connection", "Origin", "Host"]
            )
            headers.append(
                (
                    name,
                    self._pick(
                        ["", "x", "7", "websocket", "null", "https://evil.example", "close", "1" * 900]
                    ),
                )
            )
        socket = self._socket((query, headers))
        try:
            await socket.open(self._address(query), headers)
            self.report.answers[f"opening {socket.status}"] += 1
            if socket.status >= 500:
                self.report.fail("a handshake failed", socket.status, *socket.about)
            if socket.status == 101:
                # Whoever is not let in yet is asked for a token, and whoever is in is told that this is none.
                socket.send(
                    text_frame(self._pick([b"{}", b"x", b'{"type":"AUTH"}', b'{"type":"PING","t1":1}']))
                )
                await socket.until(lambda: bool(socket.answers))
                if socket.closed.is_set():
                    self._closed(socket, {ENDED, None, *NOT_LET_IN})  # None: its key was changed
        finally:
            await socket.close()

    async def _conversation(self) -> None:
        role = self._pick(ROLES)
        claims = {"participant": self._pick(PEOPLE)} if role == "player" else {}
        if self.rng.random() < 0.2:
            claims["session"] = SESSIONS[0]
        session_id = SESSIONS[0] if "session" in claims else self._pick(SESSIONS)
        good = token(role, **claims)
        if role == "link":
            session_id, good = SESSIONS[0], self.link
        query, headers, first = f"session_id={session_id}", [], b""
        match self.rng.randrange(4):
            case 0:
                headers = [("Authorization", f"Bearer {good}")]
            case 1:
                headers = [("Sec-WebSocket-Protocol", f"bearer.{good}, synckairos.v1")]
            case 2:
                query += f"&token={good}"
            case _:
                first = text_frame(as_json({"v": 1, "type": "AUTH", "token": good}))
        socket = self._socket((role, session_id, claims))
        try:
            await socket.open(self._address(query), headers)
            if first:
                socket.send(first)
            while self.report.cases < self.cases and not socket.closed.is_set():
                if self.rng.random() < 0.15:
                    await self._end(socket)
                    return
                await self._burst(socket, role, claims)
            # The session is deleted and made again from time to time.
            if socket.closed.is_set():
                self._closed(socket, {ENDED, *NOT_LET_IN})
        finally:
            await socket.close()

    async def _burst(self, socket: Socket, role: str, claims: dict[str, Any]) -> None:
        """Some messages, and a question whose answer comes after all of theirs."""
        messages = [self._message(role, claims) for _ in range(self._pick([1, 5, 20, 40]))]
        if self.rng.random() < 0.2:
            messages += messages[-2:]  # as after a retry
        socket.sent = messages
        self.report.cases += len(messages)
        before, number = socket.answers, next(_numbers)
        for message in messages:
            socket.send(*self._frames(message))
        socket.send(text_frame(as_json({"v": 1, "type": "PING", "t1": number})))
        if not await socket.until(lambda: socket.pong == number) or socket.closed.is_set():
            return
        answered = socket.answers - before - 1
        silent = sum(b"CLOCK" in message for message in messages)
        if not len(messages) - silent <= answered <= len(messages):
            self.report.fail("not each message was answered once", answered, socket.about, messages)

    def _frames(self, message: bytes) -> list[bytes]:
        """A message as one frame, or in parts, with control frames in between."""
        if self.rng.random() < 0.85:
            return [text_frame(message)]
        cuts = sorted(self.rng.randrange(len(message) + 1) for _ in range(self._pick([1, 2, 5])))
        parts = [message[start:end] for start, end in itertools.pairwise([0, *cuts, len(message)])]
        frames = []
        for place, part in enumerate(parts):
            opcode = Opcode.CONT if place else Opcode.TEXT
            frames.append(Frame(opcode, part, fin=place == len(parts) - 1).serialize(mask=True))
            if self.rng.random() < 0.5:
                control = self._pick([Opcode.PING, Opcode.PONG])
                frames.append(Frame(control, b"x" * self._pick([0, 4, 125])).serialize(mask=True))
        return frames

    def _message(self, role: str, claims: dict[str, Any]) -> bytes:
        """A message, perhaps with some mistakes. It is UTF-8 and not too large, so it is answered."""
        somebody = [*PEOPLE, PEOPLE[0].upper(), "c0000000-0000-4000-8000-000000000000", None]
        fields: Any = {
            "v": 1,
            "type": self._pick([*["SWITCH"] * 4, "PAUSE", "RESUME", "RECONNECT", "PING", "CLOCK", "AUTH"]),
        }
        match fields["type"]:
            case "SWITCH" | "PAUSE" | "RESUME":
                fields["request_id"] = f"r{self.rng.randrange(10 ** self._pick([1, 9]))}"
                if self.rng.random() < 0.1:
                    fields["expected_version"] = self.rng.randrange(1000)
                if fields["type"] == "SWITCH" and self.rng.random() < 0.3:
                    fields[self._pick(["next_participant_id", "current_participant_id"])] = self._pick(
                        somebody
                    )
            case "RECONNECT":
                fields |= {
                    "last_known_version": self.rng.randrange(3000),
                    "epoch": self._pick(["1", None]),
                    "reconnect_attempt": 1,
                }
            case "PING":
                fields["t1"] = self._pick([-1, 0.5, -(2**40)])
            case "CLOCK":
                fields |= {"offset_ms": self._pick([0, -5, 1e9]), "rtt_ms": 3, "uncertainty_ms": 1.5}
            case "AUTH":
                fields["token"] = self._pick(
                    [
                        *[
                            token(role, **claims),
                            token(role, for_s=self._pick([5, 600]), **claims),
                            token("viewer", **claims),
                        ],
                        *[
                            token("admin", sub="other"),
                            token(role, tenant="others"),
                            token(role, for_s=-60),
                            "x",
                            "",
                        ],
                    ]
                )
        for _ in range(self._pick([0, 0, 0, 1, 1, 2])):
            fields = changed_value(self.rng, fields)
            if not isinstance(fields, dict):
                break
        text = json.dumps(fields, ensure_ascii=self.rng.random() < 0.5).encode(errors="replace")
        if self.rng.random() < 0.1:
            text = changed_text(self.rng, text).decode(errors="replace").encode()
        if self.rng.random() < 0.01:
            text = text.ljust(self._pick([1000, 60_000, LARGEST]))
        return text[:LARGEST].decode(errors="ignore").encode()

    async def _end(self, socket: Socket) -> None:
        """Something after which the socket is closed, with a code that says what was wrong."""
        self.report.cases += 1
        expected: set[int] = set()
        match self.rng.randrange(9):
            case 0:
                frame, expected = (
                    Frame(Opcode.BINARY, b"x" * self._pick([0, 1, 1000])).serialize(mask=True),
                    {BINARY},
                )
            case 1:
                frame, expected = text_frame(b"x" * self._pick([LARGEST + 1, 200_000])), {TOO_LARGE}
            case 2:
                frame, expected = (
                    text_frame(self._pick([b"\xff", b'{"type":"\xc3"}', b"\xed\xa0\x80"])),
                    {NO_UTF8},
                )
            case 3:  # reserved bits
                bits = self._pick([0x40, 0x20, 0x10, 0x70])
                frame, expected = bytes([0x81 | bits, 0x82, 0, 0, 0, 0]) + b"{}", {NO_FRAME}
            case 4:
                frame, expected = bytes([self._pick([0x83, 0x8B, 0x09, 0x80]), 0x80, 1, 2, 3, 4]), {NO_FRAME}
            case 5:  # without a mask; a control frame that is too long
                frame, expected = self._pick([b"\x81\x02{}", b"\x89\xfe\x00\x7e" + b"\0" * 130]), {NO_FRAME}
            case 6:
                data = self._pick(
                    [
                        Close(1000, "bye").serialize(),
                        Close(4999, "").serialize(),
                        b"",
                        b"\x03",
                        b"\x03\xed",
                        b"\x03\xe8\xff",
                    ]
                )
                frame, expected = (
                    Frame(Opcode.CLOSE, data).serialize(mask=True),
                    {1000, 4999, 1005, NO_FRAME, NO_UTF8},
                )
            case 7:  # half a frame, and gone
                socket.send(text_frame(b"x" * 1000)[: self._pick([1, 3, 500])])
                return
            case _:  # an end, and bytes of all kinds after it, which may be noticed first
                frame = Frame(Opcode.BINARY, b"").serialize(mask=True) + self.rng.randbytes(2000)
                expected = {BINARY, NO_FRAME, NO_UTF8, TOO_LARGE}
        socket.send(frame)
        if await socket.until(lambda: socket.code is not None):
            self._closed(socket, {*expected, ENDED, *NOT_LET_IN})

    def _closed(self, socket: Socket, expected: set[int | None]) -> None:
        """A socket was closed: with one of these codes. None: without a close frame."""
        self.report.answers[f"close {socket.code}"] += 1
        if socket.code not in expected:
            self.report.fail(
                "a socket was closed with another code",
                socket.code,
                expected,
                socket.about,
                socket.sent[-30:],
            )


async def _run(target: Target, report: Report, cases: int) -> None:
    await asyncio.to_thread(target.tend)
    link = await asyncio.to_thread(target.link)
    actors = [
        Actor(target, report, Random(f"{report.seed}/{number}"), cases, link) for number in range(ACTORS)
    ]
    running = [asyncio.create_task(actor.run()) for actor in actors]
    looked = 0
    try:
        while not all(task.done() for task in running):
            await asyncio.wait(running, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
            for task in running:
                if task.done():
                    task.result()
            if report.cases - looked >= LOOK_EVERY:
                looked = report.cases
                await asyncio.to_thread(target.tend, report.looks)
                await asyncio.to_thread(target.look, report)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    await asyncio.to_thread(target.look, report)


def run(target: Target, cases: int, seed: int) -> Report:
    """Fuzz the sockets of a service."""
    report = Report("socket", seed)
    with report.running():
        asyncio.run(_run(target, report, cases))
        target.finish(report)
    return report
