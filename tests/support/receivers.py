"""Receivers of webhooks: servers on this machine that remember what they got and answer as a test says."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook as Verifier


@dataclass(frozen=True)
class Got:
    """A request, as it came. at: seconds since 1970, when its body was there"""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)
        return found

    @property
    def delivery_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """Its events, by somebody else's check of the signature."""
        found: list[dict[str, Any]] = Verifier(secret).verify(self.body, self.headers)
        return found


Answer = Callable[[Got], int]


@dataclass
class Receiver:
    """A receiver. answer: the status of each answer; headers: what stands in it besides"""

    url: str
    got: list[Got] = field(default_factory=list)
    answer: Answer = lambda _: 204
    headers: dict[str, str] = field(default_factory=dict)

    def events(self, session_id: str | None = None) -> list[dict[str, Any]]:
        """All events that came, in the order in which they did."""
        found = [event for each in list(self.got) for event in each.events]
        return [event for event in found if session_id in (None, event["session_id"])]

    def versions(self, session_id: str) -> list[int]:
        return [event["version"] for event in self.events(session_id)]


@contextmanager
def receiver(answer: Answer = lambda _: 204, *, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Got(self.path, headers, body, time.time())
            status = made.answer(got)
            made.got.append(got)
            with suppress(OSError):
                self.send_response(status)
                for name, value in made.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever asked may have gone."""

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https"
    made = Receiver(f"{scheme}://127.0.0.1:{server.server_port}/hook", answer=answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that does with each connection what `talk` does, in a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    def run(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        over.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
