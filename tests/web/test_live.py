"""The JavaScript client with a real service."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from synckairos.api.websocket import endpoint, grant
from tests.model import strategies
from tests.support import games, live
from tests.support.servers import Server
from tests.web.node import HERE, program

README = HERE.parents[1] / "synckairos" / "web" / "README.md"
PATIENCE_S = 90.0
FARTHEST = {"starts_at_ms": 365 * 86_400_000, "ends_at_ms": 365 * 86_400_000 + 1}
"""How far ahead a start and an end are at most: the service takes no more than 366 days."""
ANNA = "aaaaaaaa-0000-4000-8000-000000000001"
BEN = "bbbbbbbb-0000-4000-8000-000000000002"


async def run(name: str, *arguments: str, told: str) -> Any:
    """Runs a program of this folder with `told` as its input, and returns its output, parsed from JSON."""
    process = await asyncio.create_subprocess_exec(
        program(),
        str(HERE / name),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            written, _ = await process.communicate(told.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, written.decode()
    return json.loads(written)


@pytest.mark.parametrize("seed", range(2))
async def test_state_kept_by_events_is_what_get_answers_at_the_same_version(
    server: Server, seed: int
) -> None:
    configs = []
    for number, (mode, kind) in enumerate(games.KINDS):
        draw = games.chooser(100 * seed + number)
        # What comes by itself is a minute ahead at least: it is the part of other tests.
        now = round(time.time() * 1000)
        made = strategies.config(draw, mode, kind, now + 60_000)
        configs.append(
            made | {at: min(made[at], now + FARTHEST[at]) for at in FARTHEST if made.get(at) is not None}
        )
    async with live.service(live.settings(server.url, LONG_CLOCKS="true")) as service:
        told = await run("live.mjs", f"http://127.0.0.1:{service.port}", str(seed), told=json.dumps(configs))
    assert told["problems"] == []
    assert told["compared"] >= 3 * len(configs)
    assert told["changes"] >= 3 * len(configs)


async def test_game_across_three_expiries_of_its_token_misses_nothing(
    redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "CHECK_TOKENS_EVERY_S", 0.05)
    monkeypatch.setattr(grant, "TOLD_BEFORE_S", 0.5)
    secret = "nobody else knows this secret of the test"
    players = [{"participant_id": one, "total_time_ms": 600_000} for one in (ANNA, BEN)]
    config = json.dumps({"sync_mode": "per_participant", "participants": players})
    async with live.service(live.settings(redis.url, AUTH_MODE="jwt", JWT_SECRET=secret)) as service:
        found = await run("tokens.mjs", f"http://127.0.0.1:{service.port}", secret, told=config)
    assert found["versions"] == list(range(found["first"] + 1, found["last"] + 1))
    assert found["connections"] == found["errors"] == []


async def test_page_that_the_readme_begins_with_works(server: Server, tmp_path: Path) -> None:
    page = README.read_text(encoding="utf-8").split("```html")[1].split("```")[0]
    script = page.split('<script type="module">')[1].split("</script>")[0]
    async with live.service(live.settings(server.url)) as service:
        found = await run("readme.mjs", f"http://127.0.0.1:{service.port}", str(tmp_path), told=script)
    assert found["anna"]
    assert found["ben"]
