"""Thirty wrong logins a second from one address, to a service whose callers have tokens."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter

from synckairos.bench import load, servers
from synckairos.bench.attacks.scene import Scene
from synckairos.bench.report import Figure

RATE = 30
SECONDS, QUICK_SECONDS = 60.0, 2.0
SHARE = 5.0
"""The aim, in percent of a core."""


def _text(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def measure(scene: Scene) -> list[Figure]:
    """How much of a core the logins take, and how they are answered. The scene's victim has its rest."""
    claims = {"sub": "eve", "tenant": "club", "roles": ["admin"], "exp": time.time() + 3600}
    token = f"{_text({'alg': 'HS256', 'typ': 'JWT'})}.{_text(claims)}.{_text('x' * 30)}"
    request = (
        "GET /v1/sessions/7c9e6679-7425-40de-944b-e07fc1f90ae7 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    more = {"AUTH_MODE": "jwt", "JWT_SECRET": "s" * 48}
    seconds = QUICK_SECONDS if scene.quick else SECONDS
    with servers.synckairos(scene.storage, 1, limits=True, more=more) as service:
        spent = service.cpu_s()
        time.sleep(seconds)
        idle = service.cpu_s() - spent
        with load.ChildProcess(load.pace, service.port, [request], RATE) as wrong:
            wrong.receive()
            spent = service.cpu_s()
            time.sleep(seconds)
            busy = service.cpu_s() - spent
            wrong.pipe.send("end")
            answers = Counter(wrong.result().answers)
    return [
        Figure(
            name=f"{RATE} wrong logins a second: CPU of the service",
            value=100 * (busy - idle) / seconds,
            unit="%",
            at_most=SHARE,
            note=", ".join(f"{count} times {status.decode()}" for status, count in sorted(answers.items())),
        )
    ]
