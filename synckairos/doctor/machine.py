"""Whether this machine has what the service needs: Python, packages, open files, processors, the port."""

from __future__ import annotations

import asyncio
import errno
import importlib.metadata
import json
import os
import re
import resource
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any

from synckairos.config import Settings
from synckairos.doctor.findings import Area, Finding
from synckairos.doctor.trouble import CONNECT_S, address_text, release
from synckairos.run import processes

WATCHED_S = 0.5
"""How long processes are watched."""
BUSY = 0.5
"""From what part of a core on a process is named."""
ALL_BUSY = 0.9
"""From what part of all cores on they count as busy together: then nobody can have much of one."""
SHARE = 0.1
"""From what part of a core on a process is named while all cores are busy."""
BUSIEST = 4
"""How many processes are named."""
OTHER_FILES = 256
"""How many files a worker needs open in addition to its WebSockets."""


async def python(area: Area) -> None:
    """Whether Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    try:
        needed = str(importlib.metadata.metadata("synckairos")["Requires-Python"])
    except importlib.metadata.PackageNotFoundError:
        area.ok("Python", found)
        return
    if _satisfies(found, needed):
        area.ok("Python", found)
    else:
        area.fail(
            "Python", f"{found}, and {needed} is needed", "install a newer Python, and SyncKairos for it"
        )


async def packages(area: Area) -> None:
    """Every package that the service of this release requires, and in which versions."""
    try:
        required = importlib.metadata.requires("synckairos") or []
    except importlib.metadata.PackageNotFoundError:
        area.warn(
            "packages",
            "SyncKairos runs from its source and is not installed, so what it requires is not known",
            "in the source folder: make install",
        )
        return
    wrong = []
    own = [requirement for requirement in required if _is_of_the_service(requirement)]
    for requirement in own:
        match = re.match(r"([\w.-]+)(?:\[[^]]*])?\s*([^;]*)", requirement)
        assert match is not None
        name, wanted = match[1], match[2].strip()
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
        else:
            if not _satisfies(version, wanted):
                wrong.append(f"{name} is {version}, and {wanted} is needed")
    if wrong:
        area.fail(
            "packages",
            "; ".join(wrong),
            'install SyncKairos again: pip install --upgrade "synckairos[server]"',
        )
    else:
        area.ok("packages", f"all {len(own)} are there")


def _is_of_the_service(requirement: str) -> bool:
    """Whether it is of the package itself or of its extra `server`, as in `redis>=8; extra == "server"`."""
    extra = re.search(r"extra == [\"']([^\"']*)", requirement)
    return extra is None or extra[1] == "server"


def _satisfies(version: str, wanted: str) -> bool:
    """Whether a version is one of those that `>=1.2,<3` allows. Other comparisons allow every version."""
    for part in filter(None, (part.strip() for part in wanted.split(","))):
        sign, bound = (part[:2], part[2:]) if part[1:2] == "=" else (part[:1], part[1:])
        if sign == ">=" and release(version) < release(bound):
            return False
        if sign == "<" and release(version) >= release(bound):
            return False
    return True


async def processors(area: Area) -> None:
    """Which programs keep the processors of this machine busy. Only Linux tells."""
    before = _used()
    if not before:
        return
    began = monotonic()
    await asyncio.sleep(WATCHED_S)
    took_s = monotonic() - began
    now = _used()
    shares = {pid: (used - before[pid]) / took_s for pid, used in now.items() if pid in before}
    total, cores = sum(shares.values()), len(os.sched_getaffinity(0))
    busy = _busiest(shares, cores)
    in_all = f"{total:.1f} of {cores} cores are busy"
    if busy:
        named = ", ".join(f"process {pid} ({_command(pid)}) {shares[pid]:.0%} of a core" for pid in busy)
        area.warn(
            "processors",
            f"{in_all}: {named}",
            "end a program that does not belong here; of the service, start more WORKERS or machines; of the "
            "server of Redis, see the slow commands",
        )
    else:
        area.ok("processors", in_all)


def _busiest(shares: Mapping[int, float], cores: int) -> list[int]:
    """The processes that are named, by the part of a core that each has used."""
    bound = SHARE if sum(shares.values()) >= ALL_BUSY * cores else BUSY
    return sorted((pid for pid in shares if shares[pid] >= bound), key=lambda pid: -shares[pid])[:BUSIEST]


def _used() -> dict[int, float]:
    """Seconds of processor time that each process has used."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            # The name, in parentheses, may have spaces and parentheses; all behind it are numbers.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            found[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def _command(pid: int) -> str:
    """The first words of a process' command line."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        # Neither the folder of the program nor what follows, which may be a password.
        return " ".join([words[0].rpartition("/")[2], *_subcommand(words[1:])])
    return "ended"


def _subcommand(arguments: list[str]) -> list[str]:
    """`synckairos serve` and its like, so that they can be told from other programs of Python."""
    for at, word in enumerate(arguments[:-1]):
        if word.rpartition("/")[2] == "synckairos":
            return ["synckairos", arguments[at + 1]]
    return []


async def open_files(area: Area, settings: Settings | None) -> None:
    """Whether a worker may open as many files as MAX_WEBSOCKETS needs."""
    if settings is None:
        return
    needed = settings.max_websockets + OTHER_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        area.ok(
            "open files", "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft:,} of a process"
        )
        return
    area.warn(
        "open files",
        f"a process may have {soft:,} open: enough for about {max(0, soft - OTHER_FILES):,} WebSockets, and "
        f"MAX_WEBSOCKETS is {settings.max_websockets:,}",
        f"before the start: ulimit -n {needed} (systemd: LimitNOFILE={needed}), or a lower MAX_WEBSOCKETS",
    )


async def port(settings: Settings) -> list[Finding]:
    """The ports of the service."""
    area = Area("Port")
    checks = [_listen(area, settings.host, settings.port, "PORT")]
    if settings.enable_metrics and settings.metrics_port is not None:
        checks.append(_listen(area, settings.host, settings.metrics_port, "METRICS_PORT"))
    return await area.run(*checks)


async def _listen(area: Area, host: str, port: int, setting: str) -> None:
    """Whether the port is free, or who has it."""
    where = address_text((host, port))
    try:
        listener = await asyncio.to_thread(processes.listen, host, port)
    except OSError as error:
        if isinstance(error, PermissionError):
            area.fail(setting, f"{where} may not be used: {error.strerror}", "choose a port above 1023")
        elif error.errno == errno.EADDRINUSE:
            await _answers(area, host, port, setting)
        else:
            area.fail(
                setting,
                f"the service cannot listen at {where}: {error.strerror}",
                "HOST has to be an address of this machine: 127.0.0.1 for itself, 0.0.0.0 for everybody",
            )
    else:
        listener.close()
        area.ok(setting, f"{where} is free" if port else "any free one")


async def _answers(area: Area, host: str, port: int, setting: str) -> None:
    """Which program has the port: this service or another one."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a comparison, no listener
    base = f"http://{address_text((own, port))}"
    where = address_text((host, port))
    if setting == "METRICS_PORT":
        if b"synckairos_" in (await asyncio.to_thread(_get, base + "/metrics") or b""):
            area.ok(setting, f"{where}: SyncKairos' metrics are served there")
            return
    elif (ready := _ready(await asyncio.to_thread(_get, base + "/ready"))) is not None:
        _running(area, where, ready)
        return
    area.fail(
        setting,
        f"{where} is taken by another program",
        f"another {setting}, or stop that program (ss -ltnp shows which one it is)",
    )


def _running(area: Area, where: str, ready: Mapping[str, Any]) -> None:
    """What a SyncKairos that runs there says about itself."""
    wrong = [
        f"{name}: {check.get('message', check.get('status'))}"
        for name, check in ready["checks"].items()
        if check.get("status") != "ok"
    ]
    if ready["status"] == "ok":
        area.ok("PORT", f"{where}: SyncKairos runs there and is ready")
    elif ready["status"] == "degraded":
        area.warn("PORT", f"{where}: SyncKairos runs there; {'; '.join(wrong)}", "see the findings above")
    else:
        area.fail(
            "PORT",
            f"{where}: SyncKairos runs there and cannot work; {'; '.join(wrong)}",
            "see the findings above, and its log",
        )


_LONGEST = 1 << 20


def _get(url: str) -> bytes | None:
    """The body of the answer, whatever its status; None when there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=CONNECT_S) as reply:
            body: bytes = reply.read(_LONGEST)
            return body
    except urllib.error.HTTPError as error:
        with error, suppress(OSError, HTTPException):
            return error.read(_LONGEST)
    except (OSError, HTTPException):
        pass
    return None


def _ready(body: bytes | None) -> dict[str, Any] | None:
    """What `/ready` of a SyncKairos says; None when it is something else."""
    with suppress(ValueError):
        found = json.loads(body or b"")
        if isinstance(found, dict) and isinstance(found.get("checks"), dict) and "library" in found["checks"]:
            return found
    return None
