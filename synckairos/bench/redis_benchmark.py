"""redis-benchmark: how many calls of one command a server carries out in a second."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Sequence
from time import perf_counter

import click

from synckairos.bench import servers
from synckairos.bench.servers import Storage

CONNECTIONS = 50
"""How many connections it uses, each with one request at a time."""


def program() -> str:
    """The path of redis-benchmark. If it is missing, a ClickException names its package."""
    return servers.needed("redis-benchmark", "redis-tools")


def rate(storage: Storage, command: Sequence[str], requests: int) -> float:
    """Calls of a command a second. Raises ClickException on an error reply, at which redis-benchmark ends."""
    options = [
        "-h",
        "127.0.0.1",
        "-p",
        str(storage.port),
        "-c",
        str(CONNECTIONS),
        "-n",
        str(requests),
        "--csv",
    ]
    run = subprocess.run([program(), *options, *command], capture_output=True, text=True, check=False)
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    if run.returncode != 0 or not rows:
        raise click.ClickException(f"redis-benchmark failed: {(run.stderr or run.stdout).strip()}")
    return float(rows[-1]["rps"])


def requests_in(seconds: float, storage: Storage, command: Sequence[str]) -> int:
    """About how many requests of a command redis-benchmark makes in `seconds`."""
    count = CONNECTIONS
    while True:
        began = perf_counter()
        rate(storage, command, count)
        took = perf_counter() - began
        if took >= seconds / 4:
            return max(CONNECTIONS, int(count * seconds / took))
        count *= 4
