"""Settings and commands of the project: in the example, and wherever a program of ours is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from synckairos.cli import main
from synckairos.config import Settings, SettingsError, load
from tests.operations.deploy_check import environment
from tests.operations.deploy_check.programs import Problems

SECRET = "0123456789abcdef0123456789abcdef-of-a-check"


def environment_example(deploy: Path, files: Sequence[Path]) -> Problems:
    (file,) = files
    text = file.read_text(encoding="utf-8")
    if text != environment.made(deploy / "README.md"):
        yield f"{file.name} is not what python -m tests.operations.deploy_check.environment makes"
    pairs = [line.partition("=") for line in text.splitlines() if line and not line.startswith("#")]
    yield from wrong_settings({name: value for name, _, value in pairs} | {"JWT_SECRET": SECRET}, file.name)


def wrong_settings(environ: Mapping[str, str], where: str, *, serving: bool = True) -> Problems:
    """What a program of the project would say about these settings; and those that it does not have."""
    yield from (
        f"{where}: {name} is not a setting"
        for name in environ
        if name.lower() not in Settings.__dataclass_fields__
    )
    try:
        load(environ, serving=serving)
    except SettingsError as error:
        yield from (f"{where}: {problem}" for problem in error.problems)


def unknown_command(command: Sequence[str], where: str) -> Problems:
    """A line when there is no command of that name."""
    if command[0] not in main.list_commands(None):  # type: ignore[arg-type] # it needs no context
        yield f"{where}: there is no command {command[0]}"
