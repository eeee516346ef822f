"""The checks of `deploy/`, and which files each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.operations.deploy_check import (
    containers,
    environment,
    kubernetes,
    monitoring,
    servers,
    settings,
    units,
)
from tests.operations.deploy_check.programs import Problems, refused


@dataclass(frozen=True)
class Check:
    """One check. It runs the program that will read the files in earnest, where that can be had. Otherwise it
    compares them with a schema that has no room for unknown names.

    files: which files it reads, as patterns below `deploy/`
    problems: finds what is wrong with them; it is given `deploy/` and those files
    """

    name: str
    files: Sequence[str]
    problems: Callable[[Path, Sequence[Path]], Iterable[str]]

    def found(self, deploy: Path) -> list[Path]:
        """Its files in this folder."""
        return sorted({file for pattern in self.files for file in deploy.glob(pattern) if file.is_file()})

    def run(self, deploy: Path) -> list[str]:
        """What is wrong. Raises ProgramMissing."""
        files = self.found(deploy)
        return list(self.problems(deploy, files)) if files else []


_RULES = """
extends: default
rules:
  line-length: disable  # expressions of rules, which are made, are on one line
  comments: {min-spaces-from-content: 1}
  document-start: disable
  truthy: {check-keys: false}
"""


def _yaml(deploy: Path, files: Sequence[Path]) -> Problems:
    """Indentation, keys that are there twice, and the like, whatever the file is for."""
    options = ("--strict", "--format", "parsable", "--config-data", _RULES)
    yield from refused("yamllint", *options, *files, cwd=deploy)


CHECKS = (
    Check("YAML (yamllint)", ("**/*.yaml", "**/*.yml"), _yaml),
    Check("settings (synckairos/config.py)", (environment.FILE,), settings.environment_example),
    Check("Dockerfile (hadolint)", ("docker/Dockerfile",), containers.dockerfile),
    Check("what goes into the image", ("docker/*.dockerignore",), containers.dockerignore),
    Check("compose (schema of the specification)", ("docker/compose*.yaml",), containers.compose),
    Check("units (systemd-analyze)", ("systemd/*.service",), units.units),
    Check("Kubernetes (Kustomize, its schemas)", ("kubernetes/**/*.yaml",), kubernetes.kubernetes),
    Check("nginx (nginx -t)", ("nginx/*.conf",), servers.nginx),
    Check("HAProxy (haproxy -c)", ("haproxy/*.cfg",), servers.haproxy),
    Check("Redis (a server)", ("redis/*.conf",), servers.redis),
    Check("users of Redis and Sentinel (a server)", ("redis/*.acl",), servers.acl),
    Check("roles of PostgreSQL (a server)", ("postgresql/*.sql",), servers.roles),
    Check("Prometheus (promtool)", ("prometheus/**/*.yaml", "prometheus/**/*.yml"), monitoring.prometheus),
    Check("Alertmanager (amtool)", ("alertmanager/*.yaml", "alertmanager/*.yml"), monitoring.alertmanager),
    Check("dashboards (grafana-foundation-sdk)", ("grafana/**/*.json",), monitoring.dashboards),
    Check("provisioning of Grafana", ("grafana/provisioning/**/*.yaml",), monitoring.provisioning),
    Check("objectives (synckairos slo)", ("slo.yaml",), monitoring.objectives),
)


def unread(deploy: Path) -> list[str]:
    """The files that no check reads but that of YAML.

    Tests of pages read pages, and ruff and mypy read what dashboards are made with. Pictures are for people.
    """
    read = {file for check in CHECKS[1:] for file in check.found(deploy)}
    others = {".md", ".png", ".py"}
    rest = {
        file
        for file in deploy.rglob("*")
        if file.is_file() and file.suffix not in others and "__pycache__" not in file.parts
    } - read
    return sorted(file.relative_to(deploy).as_posix() for file in rest)
