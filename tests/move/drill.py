"""Moves running sessions under load to a Redis whose clock is wrong, and prints what callers noticed.

    python -m tests.move.drill --sessions 1000 --seconds-apart 3

Starts two Redis servers and a service of each, plays switches through the service of the source, and runs
`synckairos move`. The clock of the target is set by a library that is loaded before libc, so everything on
that server has the wrong time; this needs a C compiler.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import click
import httpx

from synckairos.core import connection as connections
from synckairos.core.calls import Sessions
from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.live import game, settings
from tests.support.programs import COMMAND, ENVIRON, Program
from tests.support.servers import Server

_SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static const long AHEAD = {seconds};
int gettimeofday(struct timeval *tv, void *zone) {{
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int failed = real(tv, zone);
  if (!failed) tv->tv_sec += AHEAD;
  return failed;
}}
int clock_gettime(clockid_t clock, struct timespec *ts) {{
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, ts);
  if (!failed && clock == CLOCK_REALTIME) ts->tv_sec += AHEAD;
  return failed;
}}
time_t time(time_t *out) {{
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  if (out) *out = ts.tv_sec;
  return ts.tv_sec;
}}
"""


@contextmanager
def wrong_clock(seconds: int) -> Iterator[None]:
    """What is started in the block has a clock that is so far ahead."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise click.ClickException("a C compiler is needed to set the target's clock")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "clock.c", Path(folder) / "clock.so"
        source.write_text(_SHIM.format(seconds=seconds))
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        os.environ["LD_PRELOAD"] = str(library)
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"]


@dataclass
class Load:
    """Switches through a service, so many a second, and what came of them."""

    url: str
    sessions: list[str]
    rate: float
    latencies_ms: list[float] = field(default_factory=list)
    acknowledged: dict[str, list[int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    going: bool = True

    async def run(self) -> None:
        """Switch sessions in random order until told to stop."""
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits, timeout=30) as http, asyncio.TaskGroup() as calls:
            started, sent = monotonic(), 0
            while self.going:
                calls.create_task(self._switch(http, random.choice(self.sessions)))
                sent += 1
                await asyncio.sleep(max(0.0, started + sent / self.rate - monotonic()))

    async def _switch(self, http: httpx.AsyncClient, session_id: str) -> None:
        began = monotonic()
        answer = await http.post(f"{self.url}/v1/sessions/{session_id}/switch")
        self.latencies_ms.append(1000 * (monotonic() - began))
        if answer.status_code == 200:
            version = answer.json()["data"]["version"]
            self.acknowledged.setdefault(session_id, []).append(version)
        else:
            self.errors.append(answer.text)


async def serve(stack: ExitStack, **environ: str) -> str:
    """The URL of a service that answers."""
    port = free_port()
    common = {"PORT": str(port), "RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "warning"}
    program = stack.enter_context(Program("serve", **common, **environ))
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient() as http:
        while True:
            with suppress(httpx.TransportError):
                if (await http.get(f"{url}/ready")).status_code == 200:
                    return url
            if program.process.poll() is not None:
                raise click.ClickException("".join(program.errors))
            await asyncio.sleep(0.1)


async def states(server: Server, session_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The states of sessions."""
    async with connections.Connection.to(settings(server.url)) as connection:
        sessions = Sessions(connection, 3600)
        found = await asyncio.gather(*(sessions.get(each) for each in session_ids))
    return {state.session_id: json.loads(state.raw) for state in found}


async def check(server: Server, load: Load) -> tuple[int, int]:
    """How many acknowledged switches the target does not have, and how many it has that nobody was told."""
    lost = untold = 0
    async with connections.Connection.to(settings(server.url)) as connection:
        sessions = Sessions(connection, 3600)
        for session_id, told in load.acknowledged.items():
            state = await sessions.get(session_id)
            reach = max(0, state.version - 20)
            log = await sessions.log(session_id, reach)
            assert log is not None
            made = {json.loads(event)["version"] for event in log if b'"cycle.switched"' in event}
            lost += len({version for version in told if version > reach} - made) + (max(told) > state.version)
            lost += len(told) - len(set(told))
            untold += len(made - set(told))
    return lost, untold


def quantiles(values: list[float]) -> str:
    """Some quantiles of times in ms."""
    ordered = sorted(values)
    named = (("p50", 0.5), ("p99", 0.99), ("longest", 1.0))
    return ", ".join(
        f"{name} {ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f} ms" for name, share in named
    )


async def drill(stack: ExitStack, count: int, apart: int, rate: float) -> bool:
    """The drill. Returns whether nothing was lost."""
    kinds = servers.available()
    source = stack.enter_context(servers.start(kinds[0]))
    with wrong_clock(apart):
        target = stack.enter_context(servers.start(kinds[-1]))
    url = await serve(stack, REDIS_URL=source.url, MOVED_TO=target.url)
    await serve(stack, REDIS_URL=target.url)
    async with await connections.connect(settings(source.url)) as connection:
        sessions = Sessions(connection, 3600)
        ids = [await game(sessions) for _ in range(count)]
    quiet, played = ids[: count // 2], ids[count // 2 :]
    before = await states(source, quiet)
    load = Load(url, played, rate)
    playing = asyncio.create_task(load.run())
    await asyncio.sleep(3)
    began = len(load.latencies_ms)
    mover = await asyncio.create_subprocess_exec(
        *(*COMMAND, "move", "--from", source.url, "--to", target.url, "--all"),
        *("--record", str(Path(tempfile.gettempdir()) / f"drill-{uuid.uuid4().hex}")),
        env=ENVIRON,
        stderr=subprocess.DEVNULL,
    )
    code = await mover.wait()
    ended = len(load.latencies_ms)
    await asyncio.sleep(3)
    load.going = False
    await playing
    after = await states(target, quiet)
    shifts = [after[each]["deadline_ms"] - before[each]["deadline_ms"] - 1000.0 * apart for each in quiet]
    lost, untold = await check(target, load)
    during = load.latencies_ms[began:ended]
    for name, value in (
        ("sessions, of them under load", f"{count}, {len(played)}"),
        ("target's clock ahead", f"{apart} s"),
        ("exit code of the mover", str(code)),
        ("deadlines shifted by", f"{min(shifts):+.0f} to {max(shifts):+.0f} ms"),
        ("a switch over HTTP before", quantiles(load.latencies_ms[:began])),
        ("a switch over HTTP during the move", quantiles(during)),
        ("a switch over HTTP after", quantiles(load.latencies_ms[ended:])),
        ("switches in all", str(sum(map(len, load.acknowledged.values())))),
        ("errors", f"{len(load.errors)} {load.errors[:1] or ''}"),
        ("acknowledged and lost, or twice", str(lost)),
        ("carried out and not acknowledged", str(untold)),
    ):
        click.echo(f"{name:36}{value}")
    return code == 0 and not lost and not load.errors


@click.command()
@click.option("--sessions", "count", type=int, default=1000, show_default=True)
@click.option("--seconds-apart", "apart", type=int, default=3, show_default=True)
@click.option("--rate", type=float, default=200.0, show_default=True, help="Switches a second.")
def main(count: int, apart: int, rate: float) -> None:
    """Move sessions under load, and print what callers noticed."""
    with ExitStack() as stack:
        done = asyncio.run(drill(stack, count, apart, rate))
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
