"""What is configured: every setting, as people may see it, and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from synckairos.config import Settings
from synckairos.doctor.findings import Area, Setting, Source
from synckairos.doctor.trouble import address_text


def configured(environ: Mapping[str, str], file: Path | None) -> list[Setting]:
    """Every setting, also those that are wrong, and where each comes from."""
    in_file = _in_file(file)
    found = []
    for field in dataclasses.fields(Settings):
        variable = environ.get(field.name.upper(), "")
        source: Source = "environment" if variable.strip() else "file" if field.name in in_file else "default"
        given = variable if source == "environment" else in_file.get(field.name)
        value = field.default
        if source != "default":
            try:
                value = field.metadata["kind"](given)
            except ValueError:
                value = given
        found.append(Setting(field.name.upper(), _display_text(value, secret=not field.repr), source))
    return found


def _in_file(file: Path | None) -> dict[str, Any]:
    """What the file sets. One that cannot be read sets nothing; `config.load` says why."""
    with suppress(OSError, yaml.YAMLError, UnicodeDecodeError):
        given = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
        if isinstance(given, dict):
            return {str(name): value for name, value in given.items() if value is not None}
    return {}


def _display_text(value: Any, *, secret: bool) -> str | None:
    """A value for people."""
    if value is None or value == ():
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(address_text(item) if isinstance(item, tuple) else str(item) for item in value)
    # What is no address may be a URL with a password in it.
    return masked(str(value)) if secret or "@" in str(value) else str(value)


def masked(text: str) -> str:
    """A URL without its secrets: the password, a DSN's key, what is behind `?`. Of other text nothing."""
    try:
        url = urlsplit(text)
    except ValueError:
        return "***"
    userinfo, at, host = url.netloc.rpartition("@")
    if not url.scheme or not (url.netloc or url.path) or "@" in url.path + url.query + url.fragment:
        return "***"  # no URL, or one whose password has characters in it that cut it off early
    user, colon, _ = userinfo.partition(":")
    if url.scheme in ("http", "https"):
        user = "***"
    netloc = f"{user}{colon and ':***'}{at}{host}" if at else host
    return f"{url.scheme}://{netloc}{url.path}{'?***' if url.query else ''}"


async def check(area: Area, settings: Settings | None, problems: list[str]) -> None:
    """Whether the settings can be used: everything that is wrong with them, not the first thing alone."""
    for problem in problems:
        area.fail(
            "setting", problem, "correct it in the environment or in the file; all are in deploy/README.md"
        )
    if settings is None:
        return
    area.ok("values", "all can be used")
    everywhere = settings.host not in ("127.0.0.1", "::1", "localhost")
    if settings.auth_mode == "none" and everywhere:
        area.warn(
            "AUTH_MODE",
            f"none, and HOST is {settings.host}: whoever can reach this machine may do everything",
            "let only those reach it who may: HOST=127.0.0.1, a firewall, or a proxy that asks who they are",
        )
