"""What is configured: every setting, as people may see it, and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from synckairos.config import Settings, SettingsError, read_yaml
from synckairos.doctor.findings import Area, Setting, Source
from synckairos.doctor.trouble import address_text
from synckairos.run import data_folder


def of_dev(environ: Mapping[str, str], file: Path | None, folder: Path) -> dict[str, str]:
    """The settings for the servers of the `synckairos dev` that runs on a data folder.

    Empty when none runs there, or when the environment or the file says where the servers are.
    """
    given = {name for name, value in environ.items() if value.strip()} | {
        name.upper() for name in _in_file(file)
    }
    addresses = data_folder.addresses(folder)
    if addresses is None or "REDIS_URL" not in addresses or given.intersection(data_folder.SERVERS):
        return {}
    found = {name: value for name, value in addresses.items() if name in data_folder.SERVERS}
    with suppress(ValueError):
        url = urlsplit(addresses.get("HTTP_URL", ""))
        if url.hostname and url.port:
            found |= {"HOST": url.hostname, "PORT": str(url.port)}
    return {name: value for name, value in found.items() if name not in given}


def configured(
    environ: Mapping[str, str], file: Path | None, in_folder: Mapping[str, str] | None = None
) -> list[Setting]:
    """Every setting, also those that are wrong, and where each comes from. `in_folder`: see `of_dev`."""
    in_file = _in_file(file)
    found = []
    for field in dataclasses.fields(Settings):
        variable = environ.get(field.name.upper(), "")
        given: Any = None
        source: Source = "default"
        if variable.strip():
            given, source = variable, "environment"
        elif field.name in in_file:
            given, source = in_file[field.name], "file"
        elif in_folder and field.name.upper() in in_folder:
            given, source = in_folder[field.name.upper()], "data folder"
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
    with suppress(SettingsError):
        given = read_yaml(file, str(file)) if file else None
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
        return ",".join(
            address_text(item)
            if isinstance(item, tuple)
            else _shown(str(item), secret=secret and "://" in item)
            for item in value
        )
    return _shown(str(value), secret=secret)


def _shown(text: str, *, secret: bool) -> str:
    """A text for people. One with an @ may be a URL with a password in it."""
    return masked(text) if secret or "@" in text else text


def masked(text: str) -> str:
    """A URL without its secrets: password, a DSN's key, what is behind `?`. Other text is not shown."""
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


async def check(
    area: Area, settings: Settings | None, problems: list[str], folder: Path | None = None
) -> None:
    """Whether the settings can be used: everything that is wrong with them, and not only the first thing.

    `folder`: the data folder of the `synckairos dev` whose servers are examined, if so.
    """
    if folder is not None:
        area.ok("servers", f"those of the synckairos dev that runs with the data folder {folder}")
    for problem in problems:
        area.fail(
            "setting",
            problem,
            "correct it in the environment or in the file; deploy/README.md lists all settings",
        )
    if settings is None:
        return
    area.ok("values", "all can be used")
    everywhere = settings.host not in ("127.0.0.1", "::1", "localhost")
    if settings.auth_mode == "none" and everywhere:
        area.warn(
            "AUTH_MODE",
            f"none, and HOST is {settings.host}: everybody who can reach this machine may do everything",
            "limit who can reach it: HOST=127.0.0.1, a firewall, or a proxy that asks for a login",
        )
