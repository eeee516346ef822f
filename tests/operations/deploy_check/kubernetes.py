"""What Kubernetes reads, as Kustomize makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.operations.deploy_check import kustomize
from tests.operations.deploy_check.forms import unlike
from tests.operations.deploy_check.programs import Problems
from tests.operations.deploy_check.settings import SECRET, unknown_command, wrong_settings

KUBERNETES = ("1.31", "1.37")
"""The releases of Kubernetes whose schemas the manifests have to fit."""

_SERVICE_MONITOR = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "namespace": str, "labels": dict},
    "spec": {
        "selector": {"matchLabels": dict},
        "endpoints": [
            {
                "port": str,
                "path": str,
                "interval": str,
                "scrapeTimeout": str,
                "relabelings": [
                    {"sourceLabels": [str], "regex": str, "targetLabel": str, "replacement": str}
                ],
            }
        ],
    },
}
"""As much of the Prometheus operator's own schema as is used here: other names are refused."""


def kubernetes(deploy: Path, files: Sequence[Path]) -> Problems:
    folder = deploy / "kubernetes"
    prometheus = yaml.safe_load((deploy / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    read = {folder / "base"}
    for each in (folder / "base", *sorted((folder / "overlays").iterdir())):
        read.add(each)
        try:
            resources = kustomize.build(each)
        except (kustomize.KustomizeError, yaml.YAMLError, KeyError) as error:
            yield f"{each.relative_to(deploy)}: {error}"
            continue
        for resource in resources:
            yield from _manifest(resource, each.name)
        yield from _references(resources, each.name)
        yield from _monitored(resources, each.name, prometheus)
    named = {
        name if name.endswith(".yaml") else None
        for each in read
        for given in [yaml.safe_load((each / "kustomization.yaml").read_text())]
        for name in [*given.get("resources", ()), *(patch["path"] for patch in given.get("patches", ()))]
    }
    yield from (
        f"{file.relative_to(deploy)}: no kustomization names it"
        for file in files
        if file.name not in named and file.name != "kustomization.yaml"
    )


def _manifest(resource: kustomize.Resource, where: str) -> Problems:
    what = f"{where}, {resource['kind']} {resource['metadata']['name']}"
    if resource["kind"] == "ServiceMonitor":
        if resource["apiVersion"] != "monitoring.coreos.com/v1":
            yield f"{what}: {resource['apiVersion']}"
        yield from (f"{what}: {problem}" for problem in unlike(resource, _SERVICE_MONITOR))
        return
    for release in KUBERNETES:
        try:
            kubernetes_validate.validate(resource, release, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(map(str, error.path))
            yield f"{what}: {path}: {error.message} (Kubernetes {release})"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{what}: {error.message}"


def _references(resources: Sequence[kustomize.Resource], where: str) -> Problems:
    """Names and labels by which resources refer to one another, and the settings that containers get."""
    by_kind: dict[str, list[kustomize.Resource]] = {}
    for resource in resources:
        by_kind.setdefault(resource["kind"], []).append(resource)
    maps = {each["metadata"]["name"]: each["data"] for each in by_kind.get("ConfigMap", ())}
    accounts = {each["metadata"]["name"] for each in by_kind.get("ServiceAccount", ())}
    workloads = [*by_kind.get("Deployment", ()), *by_kind.get("Job", ())]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in workloads]
    for each in workloads:
        pod = each["spec"]["template"]["spec"]
        what = f"{where}, {each['metadata']['name']}"
        if pod["serviceAccountName"] not in accounts:
            yield f"{what}: there is no service account {pod['serviceAccountName']}"
        for container in pod["containers"]:
            names = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in names:
                    yield f"{what}: {probe} asks port {port}, which is not there"
            yield from unknown_command(container["args"], what)
            yield from _settings_of(container, maps, what)
    for each in resources:
        if each["kind"] not in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            continue
        spec = each["spec"]
        chosen = spec.get("podSelector", spec.get("selector", {}))
        wanted = chosen.get("matchLabels", chosen)
        if not any(wanted.items() <= found.items() for found in labels):
            yield f"{where}, {each['kind']} {each['metadata']['name']}: it selects no pod"
    for each in by_kind.get("ServiceMonitor", ()):
        wanted = each["spec"]["selector"]["matchLabels"]
        served = [
            port["name"]
            for service in by_kind.get("Service", ())
            if wanted.items() <= service["metadata"]["labels"].items()
            for port in service["spec"]["ports"]
        ]
        for endpoint in each["spec"]["endpoints"]:
            if endpoint["port"] not in served:
                yield f"{where}, ServiceMonitor {each['metadata']['name']}: no port {endpoint['port']}"


def _monitored(
    resources: Sequence[kustomize.Resource], where: str, prometheus: Mapping[str, Any]
) -> Problems:
    """The operator's Prometheus asks as often as the one without it, under the jobs that the rules name."""
    jobs = {each["job_name"] for each in prometheus["scrape_configs"]}
    interval = prometheus["global"]["scrape_interval"]
    for monitor in resources:
        if monitor["kind"] != "ServiceMonitor":
            continue
        what = f"{where}, ServiceMonitor {monitor['metadata']['name']}"
        for endpoint in monitor["spec"]["endpoints"]:
            named = {
                rule.get("replacement")
                for rule in endpoint.get("relabelings", ())
                if rule.get("targetLabel") == "job"
            }
            if named != jobs:
                yield f"{what}: its jobs are {named}, and those of prometheus.yml {jobs}"
            if endpoint.get("interval") != interval:
                yield f"{what}: it asks every {endpoint.get('interval')}, and prometheus.yml every {interval}"


_DATABASE = "postgresql://synckairos@postgres/synckairos"
SECRETS = {
    "synckairos": {"REDIS_URL": "redis://redis:6379/0", "DATABASE_URL": _DATABASE, "JWT_SECRET": SECRET},
    "synckairos-migrate": {"DATABASE_URL": _DATABASE},
    "synckairos-worker": {"DATABASE_URL": _DATABASE},
}
"""The Secrets of an installation, as `deploy/README.md` makes them: each program has a role in PostgreSQL."""


def _settings_of(container: Mapping[str, Any], maps: Mapping[str, Mapping[str, str]], what: str) -> Problems:
    environ: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if "secretRef" in source:
            environ |= SECRETS[source["secretRef"]["name"]]
        else:
            name = source["configMapRef"]["name"]
            if name not in maps:
                yield f"{what}: there is no ConfigMap {name}"
            environ |= maps.get(name, {})
    for entry in container.get("env", ()):
        if "valueFrom" not in entry:
            environ[entry["name"]] = entry["value"]
            continue
        asked = entry["valueFrom"]["secretKeyRef"]
        found = SECRETS.get(asked["name"], {}).get(asked["key"])
        if found is None:
            yield f"{what}: there is no secret {asked['name']} with {asked['key']}"
        else:
            environ[entry["name"]] = found
    yield from wrong_settings(environ, what, serving=container["args"] == ["serve"])
