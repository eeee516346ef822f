"""The command `synckairos features`: what a features file says, and what that means for a session."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from synckairos.config import SettingsError
from synckairos.features import rules
from synckairos.features.flags import KNOWN, hint
from synckairos.features.rules import Feature
from synckairos.output import echo
from synckairos.settings_option import config_option, exit_with, settings_or_exit

file_option = click.option(
    "--file",
    "features_file",
    type=click.Path(path_type=Path),
    help="Features file to read instead of the one of FEATURES_FILE, such as one that is not in use yet.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def features() -> None:
    """Features that are on for some sessions: what the file says, and what that means for a session."""


@features.command("list")
@file_option
@json_option
@config_option
def list_(features_file: Path | None, file: Path | None, *, as_json: bool) -> None:
    """List the features of the file. A file that cannot be used is an error (exit code 2)."""
    found = _features(features_file, file)
    if as_json:
        click.echo(json.dumps({name: _as_json(feature) for name, feature in found.items()}))
        return
    for name, feature in found.items():
        echo(f"{name}: {_in_words(feature)}; {_meaning(name)}")
    for name in KNOWN.keys() - found.keys():
        echo(f"{name}: the file does not name it, so nothing changes; {_meaning(name)}")


@features.command()
@click.argument("name")
@click.argument("session")
@click.option("--tenant", help="The session's tenant.")
@file_option
@json_option
@config_option
def explain(
    name: str,
    session: str,
    features_file: Path | None,
    file: Path | None,
    *,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Say whether the feature NAME is on for the SESSION of this id, and why."""
    feature = _features(features_file, file).get(name)
    if feature is None:
        raise click.ClickException(f"the features file has no {name}: it is off for all")
    decision = rules.decide(name, feature, session, tenant)
    if as_json:
        click.echo(json.dumps({"on": decision.on, "reason": decision.reason, "why": decision.why}))
    else:
        echo(f"{'on' if decision.on else 'off'}: {decision.why}")


def _features(features_file: Path | None, file: Path | None) -> dict[str, Feature]:
    chosen = features_file or settings_or_exit(os.environ, file).features_file
    if chosen is None:
        raise click.ClickException("there is no features file: name it with FEATURES_FILE or --file")
    try:
        return rules.read(chosen)
    except SettingsError as error:
        exit_with(error)


def _in_words(feature: Feature) -> str:
    if not feature.enabled:
        return "off"
    words = {
        "all": "on for all",
        "percentage": f"on for {feature.percentage:g} % of the sessions",
        "tenant": f"on for the tenants {', '.join(sorted(feature.tenants)) or '(none)'}",
    }[feature.strategy]
    for listed, kind in ((feature.whitelist, "whitelist"), (feature.blacklist, "blacklist")):
        words += f", {len(listed)} in the {kind}" if listed else ""
    return words


def _meaning(name: str) -> str:
    if name in KNOWN:
        return f"where it is on, {KNOWN[name]}"
    near = hint(name).get("did_you_mean")
    return "this release does not have it" + (f"; did you mean {near}?" if near else "")


def _as_json(feature: Feature) -> dict[str, Any]:
    return {
        "enabled": feature.enabled,
        "rollout": {
            "strategy": feature.strategy,
            "percentage": feature.percentage,
            "tenants": sorted(feature.tenants),
            "whitelist": sorted(feature.whitelist),
            "blacklist": sorted(feature.blacklist),
        },
    }
