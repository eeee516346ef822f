"""The dearest creations, five at once, each from an address that has not created anything yet."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

import msgspec

from synckairos.bench import load
from synckairos.bench.attacks.scene import Scene, attacker
from synckairos.bench.report import Figure

AT_ONCE = 5
SECONDS, QUICK_SECONDS = 15.0, 1.0
"""How long each kind is sent. The last one is waited for."""
_ADDRESSES = 10_000
"""How many each kind may use."""
_STAGES = [{"time_ms": 60_000, "moves": 10}] * 7 + [{"time_ms": 60_000}]


def _people(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"participant_id": str(uuid.uuid4()), **fields} for _ in range(count)]


def _config(participants: list[dict[str, Any]], **fields: Any) -> bytes:
    config = {"sync_mode": "per_participant", "participants": participants, **fields}
    return msgspec.json.encode(config)


def _bodies() -> dict[str, bytes]:
    """By name, the dearest bodies that a service takes, and those that once were."""
    stages = {"kind": "stages", "stages": _STAGES}
    different = [
        {"kind": "stages", "stages": [{"time_ms": 60_000 + number, "moves": 10}, {"time_ms": 60_000}]}
        for number in range(1000)
    ]
    own = [{**each, "time_control": control} for each, control in zip(_people(1000), different, strict=True)]
    return {
        "1,000 participants": _config(_people(1000, total_time_ms=600_000)),
        "1,000 participants with two stages of their own": _config(own),
        "250 participants with eight stages": _config(_people(250), time_control=stages),
        "1,000 participants with eight stages (refused)": _config(_people(1000), time_control=stages),
        "30,000 unknown names (refused)": _config(_people(1), **{f"n{n:08}": 0 for n in range(30_000)}),
    }


def measure(scene: Scene) -> list[Figure]:
    """The victim beside each kind of creation."""
    figures: list[Figure] = []
    for number, (name, body) in enumerate(_bodies().items()):
        seconds = QUICK_SECONDS if scene.quick else SECONDS
        answers: Counter[bytes] = Counter()
        took_s = 0.0
        with load.ChildProcess(_create, scene.service.port, body, number, seconds) as creating:

            def attack(creating: load.ChildProcess[tuple[Counter[bytes], float]] = creating) -> None:
                nonlocal answers, took_s
                creating.pipe.send("go")
                answers, took_s = creating.result()

            outcome = scene.victim(attack)
        title = f"{AT_ONCE} at once, {name}"
        figures += scene.compared(title, outcome)
        figures.append(
            Figure(
                name=f"{title}: a creation",
                value=1e3 * took_s * AT_ONCE / answers.total(),
                unit="ms",
                note=", ".join(
                    f"{count} times {status.decode()}" for status, count in sorted(answers.items())
                ),
            )
        )
    return figures


def _create(
    pipe: Connection, port: int, body: bytes, number: int, seconds: float
) -> tuple[Counter[bytes], float]:
    """Creates from AT_ONCE addresses at once, again and again. Returns the answers, and how long all took."""
    request = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    addresses = iter(range(1000 + number * _ADDRESSES, 1000 + (number + 1) * _ADDRESSES))
    pipe.recv()
    began = monotonic()
    answers: Counter[bytes] = Counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while monotonic() - began < seconds:
            answers.update(threads.map(lambda each: _answer(port, each, request), islice(addresses, AT_ONCE)))
    return answers, monotonic() - began


def _answer(port: int, number: int, request: bytes) -> bytes:
    """The status of the answer."""
    with attacker(port, number) as connection:
        connection.sendall(request)
        data = b""
        while not load.http_answer(data):
            more = connection.recv(load.RECEIVE)
            if not more:
                return b"no answer"
            data += more
        return data[load.HTTP.kind]
