"""What Docker reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synckairos import __version__
from tests.operations.deploy_check.programs import Problems, refused, said
from tests.operations.deploy_check.settings import SECRET, unknown_command, wrong_settings
from tests.support.pages import ROOT


def dockerfile(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        yield from refused("hadolint", "--failure-threshold", "style", file)
        text = file.read_text(encoding="utf-8")
        last = text[text.rindex("\nFROM ") :]
        for line in ("USER 10001:10001", "STOPSIGNAL SIGTERM"):
            if not re.search(rf"^{line}$", last, re.MULTILINE):
                yield f"{file.name}: the image has no {line}"
        copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
        yield from (
            f"{file.name}: there is no {name} to copy"
            for names in copied
            for name in names.split()
            if not (ROOT / name).exists()
        )
        yield from (f"{file.name}: {problem}" for problem in _unknown_options(text))


_HELP = {
    "useradd": ("useradd", "--help"),
    "pip install": ("python", "-m", "pip", "install", "--help"),
    "pip uninstall": ("python", "-m", "pip", "uninstall", "--help"),
}
"""The commands of steps that no other check takes, and what lists their options."""


def _unknown_options(text: str) -> Problems:
    """Options that a command of a step does not have. hadolint does not look at them."""
    steps = "".join(re.sub(r"\\\n", " ", text).partition("\nFROM ")[1:])
    for command, (name, *arguments) in _HELP.items():
        _, known = said(name, *arguments)
        for options in re.findall(rf"\b{command} ([^&|\n]*)", steps):
            yield from (
                f"{command} has no {option}"
                for option in re.findall(r"--[a-z-]+", options)
                if not re.search(rf"{option}(?![a-z-])", known)
            )


def dockerignore(_deploy: Path, files: Sequence[Path]) -> Problems:
    """Every name that is let in is copied into the image, and the other way round."""
    for file in files:
        dockerfile = file.with_name(file.name.removesuffix(".dockerignore"))
        copied = {
            name
            for names in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile.read_text(), re.MULTILINE)
            for name in names.split()
        }
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        let_in = {line[1:] for line in lines if line.startswith("!")}
        if lines[:1] != ["*"] or copied != let_in:
            yield f"{file.name}: it lets in {sorted(let_in)}, and {dockerfile.name} copies {sorted(copied)}"
        never_kept = (ROOT / ".gitignore").read_text().split()
        for line in lines[1 + len(let_in) :]:
            if f"{line.removeprefix('**/')}/" not in never_kept and not (ROOT / line).exists():
                yield f"{file.name}: there is no {line}"


def compose(deploy: Path, files: Sequence[Path]) -> Problems:
    yield from refused("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)
    for file in files:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
        services = given["services"]
        for name, service in services.items():
            where = f"{file.name}, {name}"
            yield from (
                f"{where}: depends on {other}, which is not there"
                for other in service.get("depends_on", ())
                if other not in services
            )
            for volume in service.get("volumes", ()):
                source = re.sub(r"\$\{[^}]*\}", "/", volume).split(":")[0]
                if (
                    source.startswith(".")
                    and not (file.parent / source).exists()
                    and not (ROOT / "deploy/docker" / source).exists()
                ):
                    yield f"{where}: there is no {source}"
                if re.fullmatch(r"[\w-]+", source) and source not in given.get("volumes", {}):
                    yield f"{where}: there is no volume {source}"
            yield from (
                f"{where}: everybody can read {found} on the command line"
                for found in _SECRET_ARGUMENT.findall(" ".join(service.get("command", ())))
            )
            if "build" in service:
                if service["image"] != f"synckairos:{__version__}":
                    yield f"{where}: {service['image']} is not the image of this release, {__version__}"
                given_ = service["environment"]
                environ = {key: re.sub(r"\$\{[^}]*\}", SECRET, value) for key, value in given_.items()}
                command = service.get("command", ["serve"])
                # HOST and PORT are in the image.
                yield from wrong_settings({"HOST": "0.0.0.0", **environ}, where, serving=command == ["serve"])
                yield from unknown_command(command, where)
            else:
                yield from _script(service.get("command", ()), where)
                yield from _variables(service, where)


_OF_IMAGES = frozenset({"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"})
"""The variables that an image of others reads."""


def _variables(service: Mapping[str, Any], where: str) -> Problems:
    """Variables that nobody reads, and those that a command reads and that are not there."""
    read = {*re.findall(r"\$\$(\w+)", f"{service.get('command')} {service.get('healthcheck')}")}
    given = service.get("environment", {}).keys()
    yield from (f"{where}: nobody reads {name}" for name in given - read - _OF_IMAGES)
    yield from (f"{where}: there is no {name}" for name in read - given)


_SECRET_ARGUMENT = re.compile(r"(?<!\$)\$\{?\w*(?:PASSWORD|SECRET)")
"""A secret that compose itself puts in; behind `$$` the shell in the container does."""


def _script(command: Sequence[str], where: str) -> Problems:
    """What shellcheck finds in a script that compose has: there `$$` stands for `$`."""
    if command[:2] == ["sh", "-ec"]:
        code, output = said("shellcheck", "--shell=sh", "-", text="set -e\n" + command[2].replace("$$", "$"))
        if code:
            yield f"{where}: {output}"
