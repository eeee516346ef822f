"""What Kubernetes reads, as Kustomize makes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from synckairos import __version__
from tests.operations.deploy_check import kustomize
from tests.operations.deploy_check.forms import unlike
from tests.operations.deploy_check.programs import Problems
from tests.operations.deploy_check.settings import SECRET, unknown_command, wrong_settings

# The library reads a megabyte of definitions for each resource, which is most of the time of this check.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

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
                **dict.fromkeys(("port", "path", "interval", "scrapeTimeout"), str),
                "relabelings": [
                    {"sourceLabels": [str], **dict.fromkeys(("regex", "targetLabel", "replacement"), str)}
                ],
            }
        ],
    },
}
"""As much of the Prometheus operator's own schema as is used here: other names are refused."""


def kubernetes(deploy: Path, files: Sequence[Path]) -> Problems:
    folder = deploy / "kubernetes"
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
        yield from _scraped_otherwise(resources, deploy / "prometheus/prometheus.yml", each.name)
        yield from _other_than_nginx(resources, deploy / "nginx/nginx.conf", each.name)
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


_LABELS = frozenset({"app.kubernetes.io/name", "app.kubernetes.io/component", "kubernetes.io/metadata.name"})
"""All that is used: to Kubernetes any name of a label is as good as another."""


def _unknown_labels(given: Any) -> Problems:
    """The names of labels, anywhere in a resource, that are not used elsewhere."""
    if isinstance(given, list):
        for item in given:
            yield from _unknown_labels(item)
    elif isinstance(given, dict):
        for name, value in given.items():
            if name in ("labels", "matchLabels"):
                yield from (f"label {label}" for label in value.keys() - _LABELS)
            else:
                yield from _unknown_labels(value)


def _manifest(resource: kustomize.Resource, where: str) -> Problems:
    what = f"{where}, {resource['kind']} {resource['metadata']['name']}"
    yield from (f"{what}: {problem}" for problem in _unknown_labels(resource))
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
            _, _, tag = container["image"].partition("@")[0].rpartition("/")[2].partition(":")
            if tag not in ("", __version__):  # the base has none, and a digest needs none
                yield f"{what}: {container['image']} is not the image of this release, {__version__}"
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


_COMPONENT = "__meta_kubernetes_pod_label_app_kubernetes_io_component"


def _scraped_otherwise(resources: Sequence[kustomize.Resource], prometheus: Path, where: str) -> Problems:
    """Where the operator's Prometheus would ask less often, or would name the jobs otherwise, than ours."""
    ours = yaml.safe_load(prometheus.read_text(encoding="utf-8"))
    times = ours["global"]["scrape_interval"], ours["global"]["scrape_timeout"]
    components = {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in resources
        if each["kind"] == "Deployment"
    }
    for each in resources:
        if each["kind"] != "ServiceMonitor":
            continue
        for endpoint in each["spec"]["endpoints"]:
            if (endpoint.get("interval"), endpoint.get("scrapeTimeout")) != times:
                yield f"{where}, ServiceMonitor: it is not scraped every {times[0]}, within {times[1]}"
            jobs = {
                rule["regex"]: rule["replacement"]
                for rule in endpoint.get("relabelings", ())
                if rule.get("sourceLabels") == [_COMPONENT] and rule.get("targetLabel") == "job"
            }
            if jobs.keys() != components or {*jobs.values()} != {
                job["job_name"] for job in ours["scrape_configs"]
            }:
                yield f"{where}, ServiceMonitor: its jobs are not those of {prometheus.name}: {jobs}"


_ANNOTATIONS = "nginx.ingress.kubernetes.io/"
_DIRECTIVES = {"proxy-body-size": "client_max_body_size"}
"""The annotations that have another name than their directive."""


def _other_than_nginx(resources: Sequence[kustomize.Resource], file: Path, where: str) -> Problems:
    """Annotations of an Ingress by which its nginx would do otherwise than ours does."""
    text = file.read_text(encoding="utf-8")
    for each in resources:
        for name, value in each["metadata"].get("annotations", {}).items():
            short = name.removeprefix(_ANNOTATIONS)
            directive = _DIRECTIVES.get(short, short.replace("-", "_"))
            found = re.search(rf"^ *{directive} (.*);", text, re.MULTILINE)
            if short == name or found is None or value not in (found[1], found[1].removesuffix("s")):
                yield f"{where}, {each['kind']} {each['metadata']['name']}: {name}: {value}"


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
