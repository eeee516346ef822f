"""What nginx, HAProxy, Redis and PostgreSQL read: each of them is started with it, or asked to check it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from tests.operations.deploy_check.programs import Problems, program, refused, said
from tests.support import postgres
from tests.support.proxies import NothingToReplace, fitted_haproxy, fitted_nginx

ANSWER_S = 20.0


_HEADERS = frozenset({"http_host", "http_upgrade"})
"""The headers of requests that nginx is to read. To nginx itself every other name is one, too."""


def nginx(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        read = re.findall(r"\$(http_\w+)", file.read_text(encoding="utf-8"))
        yield from (f"{file.name}: ${name} is no header of ours" for name in {*read} - _HEADERS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            main = fitted_nginx(files[0].parent, Path(folder) / "nginx").file
        except NothingToReplace as pattern:
            yield f"nginx.conf: it has no {pattern}"
            return
        shutil.copy(files[0].with_name("upstream.conf"), main.parent)
        yield from refused("nginx", "-t", "-q", "-p", main.parent, "-c", main)


def haproxy(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy = fitted_haproxy(file.parent, Path(folder) / "haproxy").file
            except NothingToReplace as pattern:
                yield f"{file.name}: it has no {pattern}"
                continue
            code, output = said("haproxy", "-c", "-f", copy)
            if code or "WARNING" in output:
                yield output


def redis(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        yield from _starts(file.read_text(encoding="utf-8"), file.name, "redis.conf")


def acl(_deploy: Path, files: Sequence[Path]) -> Problems:
    """A server starts with the users, once they have passwords."""
    for file in files:
        text = re.sub(r"#SHA256-OF-\S+", "#" + hashlib.sha256(b"x").hexdigest(), file.read_text())
        if file.name == "users.acl":
            yield from _starts("", file.name, "redis.conf", users=text)
        else:
            yield from _starts(text, file.name, "sentinel.conf", "--sentinel")


def roles(_deploy: Path, files: Sequence[Path]) -> Problems:
    """The roles are made in a database with all tables, and once more."""

    async def run(url: str, text: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(text)
        finally:
            await connection.close()

    with postgres.start_postgres("embedded") as server:
        for file in files:
            try:
                url = server.database()
                for _ in range(2):
                    asyncio.run(run(url, file.read_text(encoding="utf-8")))
            except asyncpg.PostgresError as error:
                yield f"{file.name}: {error}"


def _starts(text: str, where: str, name: str, *options: str, users: str = "") -> Problems:
    """Whether a server of Redis starts with this configuration; it is ended as soon as it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join(line for line in text.splitlines() if not line.startswith(("port ", "bind ")))
        if users:
            (Path(folder) / "users.acl").write_text(users)
            text += "\naclfile users.acl"
        (Path(folder) / name).write_text(f"{text}\nport {port}\nbind 127.0.0.1\n")
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program("redis-server"), name, *options], cwd=folder, stdout=output, stderr=output
            )
        try:
            end = time.monotonic() + ANSWER_S
            while process.poll() is None and not _answers(port):
                if time.monotonic() > end:
                    yield f"{where}: the server does not answer"
                    return
                time.sleep(0.02)
            if process.poll() is not None:
                yield f"{where}: the server does not start: {log.read_text().strip()}"
        finally:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    """Whether the server answers, if only by asking for a password. It listens before it reads its users."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as asked:
            asked.settimeout(1)
            asked.sendall(b"PING\r\n")
            return bool(asked.recv(64))
    except OSError:
        return False
