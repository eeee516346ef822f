"""Makes the dashboards: .venv/bin/python -m deploy.grafana.generate [--runbooks URL] [FOLDER]."""

from __future__ import annotations

import argparse
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana import audit, overview, panels, slo

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"overview": overview.build, "audit": audit.build, "slo": slo.build}


def texts(runbooks: str = panels.RUNBOOKS) -> dict[str, str]:
    """By file name, the dashboards as JSON that Grafana reads."""
    return {f"{name}.json": _text(build(runbooks).build()) for name, build in DASHBOARDS.items()}


def _text(made: Dashboard) -> str:
    # The address of a single panel has its number, so each has one that stays.
    for number, panel in enumerate(made.panels or (), 1):
        panel.id_val = number
    return JSONEncoder(indent=2, sort_keys=True).encode(made) + "\n"


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description="Make the dashboards.")
    parser.add_argument("--runbooks", default=panels.RUNBOOKS, help="where the runbooks can be read")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for name, text in texts(arguments.runbooks).items():
        (arguments.folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
