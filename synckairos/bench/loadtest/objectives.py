"""What was promised: `deploy/slo.yaml`, from which Prometheus has its rules, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from synckairos.slo import objectives


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of all that has to be good.

    share: of all (0 to 1)
    bound_s: what is good: at most this many seconds; None where it is good to have succeeded
    """

    name: str
    share: float
    bound_s: float | None


def load(file: Path | None = None) -> tuple[Objective, ...]:
    """The objectives of a file, or those of this release. Ends the command if the file is wrong."""
    file = file or shipped()
    try:
        found = objectives.load(file).objectives
    except (OSError, objectives.WrongObjectives) as error:
        raise click.ClickException(f"{file}: {error}") from None
    return tuple(Objective(name, each.ratio, each.within_seconds) for name, each in found.items())


def shipped() -> Path:
    """The file of this release. It is in the installed package, or in `deploy/` of a source folder."""
    package = Path(__file__).resolve().parents[2]
    places = (package / "slo" / "slo.yaml", package.parent / "deploy" / "slo.yaml")
    return next(place for place in places if place.is_file())
