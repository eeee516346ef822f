"""The dearest creations, five at once.

At full limits five addresses create as often as their limits let them. No limit holds five that come from
another address each time: then only the rests after large creations keep the victim's turns.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from multiprocessing.connection import Connection
from time import monotonic, sleep
from typing import Any

import msgspec

from synckairos.bench import load
from synckairos.bench.attacks.scene import Scene, attacker
from synckairos.bench.report import Figure

AT_ONCE = 5
SECONDS, QUICK_SECONDS = 50.0, 1.0
"""How long each kind is sent at full limits."""
NEW_SECONDS, QUICK_NEW_SECONDS = 15.0, 1.0
"""How long each kind is sent from new addresses. The last one is waited for."""
_FIRST = 1000
_ADDRESSES = 10_000
"""How many new ones each kind may use."""
_AGAIN = b"\r\nretry-after: "
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
    limited = QUICK_SECONDS if scene.quick else SECONDS
    anew = QUICK_NEW_SECONDS if scene.quick else NEW_SECONDS
    for number, (name, body) in enumerate(_bodies().items()):
        if number == 0 or not scene.quick:
            first = _FIRST + AT_ONCE * number
            figures += _measure(
                scene, f"{AT_ONCE} at full limits, {name}", body, range(first, first + AT_ONCE), limited
            )
        first = 2 * _FIRST + _ADDRESSES * number
        figures += _measure(
            scene, f"{AT_ONCE} from new addresses, {name}", body, range(first, first + _ADDRESSES), anew
        )
    return figures


def _measure(scene: Scene, title: str, body: bytes, addresses: Sequence[int], seconds: float) -> list[Figure]:
    answers: Counter[bytes] = Counter()
    with load.ChildProcess(_create, scene.service.port, body, addresses, seconds) as creating:

        def attack() -> None:
            creating.pipe.send("go")
            answers.update(creating.result())

        outcome = scene.victim(attack)
    return [
        *scene.compared(title, outcome),
        Figure(
            name=f"{title}: creations",
            value=answers.total(),
            unit="",
            note=", ".join(f"{count} times {status.decode()}" for status, count in sorted(answers.items())),
        ),
    ]


def _create(
    pipe: Connection, port: int, body: bytes, addresses: Sequence[int], seconds: float
) -> Counter[bytes]:
    """Creates AT_ONCE at once, again and again. Returns the answers.

    Each of AT_ONCE threads has a share of the addresses. It takes the next one each time, or waits as long as
    it is told when it has no other.
    """
    request = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    answers: Counter[bytes] = Counter()

    def create(thread: int) -> None:
        own = addresses[thread::AT_ONCE]
        for number in cycle(own):
            status, again_s = _answer(port, number, request)
            answers[status] += 1
            left_s = end - monotonic()
            if len(own) == 1 and again_s:
                sleep(max(0.0, min(again_s, left_s)))
            if monotonic() >= end:
                return

    pipe.recv()
    end = monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(create, range(AT_ONCE)))
    return answers


def _answer(port: int, number: int, request: bytes) -> tuple[bytes, int]:
    """The status of the answer, and after how many seconds one may come again; 0 without that."""
    with attacker(port, number) as connection:
        connection.sendall(request)
        data = b""
        while not load.http_answer(data):
            more = connection.recv(load.RECEIVE)
            if not more:
                return b"no answer", 0
            data += more
        head, *_ = data.partition(b"\r\n\r\n")
        again = head.partition(_AGAIN)[2].partition(b"\r\n")[0]
        return data[load.HTTP.kind], int(again or 0)
