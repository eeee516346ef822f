"""What `kustomize build` makes of a folder, for as much of Kustomize as `deploy/kubernetes` uses.

There is no library for it in Python. What is not known here is refused, and so is what Kustomize itself would
refuse: a patch of something that is not there, an image that nobody runs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

MERGED_BY = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "topologySpreadConstraints": "topologyKey",
}
"""The lists that a patch merges, and by which key of their items. All others it replaces."""


class KustomizeError(Exception):
    """The folder cannot be built. The text says where and why."""


def build(folder: Path) -> list[Resource]:
    """All resources of the folder with a kustomization.yaml. Raises KustomizeError."""
    file = folder / "kustomization.yaml"
    (given,) = _documents(file)
    _only(given, file, "apiVersion", "kind", *_STEPS)
    if (given.get("apiVersion"), given.get("kind")) != ("kustomize.config.k8s.io/v1beta1", "Kustomization"):
        raise KustomizeError(f"{file}: it is no Kustomization")
    resources: list[Resource] = []
    for name, step in _STEPS.items():
        if name in given:
            step(resources, given[name], file)
    return resources


def _documents(file: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise KustomizeError(f"{file}: {error.strerror}") from error


def _only(given: Mapping[str, Any], file: Path, *names: str) -> None:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise KustomizeError(f"{file}: unknown: {', '.join(unknown)}")


def _found(resources: list[Resource], file: Path, *, kind: str | None, name: str) -> Resource:
    for resource in resources:
        if resource["metadata"]["name"] == name and kind in (None, resource["kind"]):
            return resource
    raise KustomizeError(f"{file}: there is no {kind or 'resource'} {name}")


def _resources(resources: list[Resource], given: Any, file: Path) -> None:
    for name in given:
        place = file.parent / name
        added = build(place) if place.is_dir() else _documents(place)
        for resource in added:
            same = [
                each
                for each in resources
                if (each["kind"], each["metadata"]["name"])
                == (resource["kind"], resource["metadata"]["name"])
            ]
            if same:
                raise KustomizeError(
                    f"{place}: {resource['kind']} {resource['metadata']['name']} is there twice"
                )
            resources.append(resource)


def _settings(resources: list[Resource], given: Any, file: Path) -> None:
    for each in given:
        _only(each, file, "name", "behavior", "literals")
        pairs = [text.partition("=") for text in each["literals"]]
        data = {name: value for name, _, value in pairs}
        if len(data) < len(pairs) or not all(sign for _, sign, _ in pairs):
            raise KustomizeError(f"{file}: literals of {each['name']} are NAME=value, each name once")
        behavior = each.get("behavior", "create")
        if behavior == "create":
            resources.append(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each["name"]}, "data": data}
            )
        elif behavior == "merge":
            _found(resources, file, kind="ConfigMap", name=each["name"])["data"].update(data)
        else:
            raise KustomizeError(f"{file}: behavior {behavior}")


def _patches(resources: list[Resource], given: Any, file: Path) -> None:
    for each in given:
        _only(each, file, "path")
        for patch in _documents(file.parent / each["path"]):
            target = _found(resources, file, kind=patch["kind"], name=patch["metadata"]["name"])
            merged = _merged(target, patch)
            target.clear()
            target.update(merged)


def _merged(target: Any, patch: Any, key: str = "") -> Any:
    if isinstance(target, dict) and isinstance(patch, dict):
        merged = {**target, **{name: _merged(target.get(name), value, name) for name, value in patch.items()}}
        return {name: value for name, value in merged.items() if value is not None}
    by = MERGED_BY.get(key)
    if by and isinstance(target, list) and isinstance(patch, list):
        changed = {item[by]: item for item in patch}
        kept = [_merged(item, changed.pop(item[by], {})) for item in target]
        return [*kept, *changed.values()]
    return copy.deepcopy(patch)


def _pod(resource: Resource) -> dict[str, Any] | None:
    template: dict[str, Any] = resource.get("spec", {}).get("template", {})
    return template.get("spec")


def _images(resources: list[Resource], given: Any, file: Path) -> None:
    for each in given:
        _only(each, file, "name", "newName", "newTag", "digest")
        used = [
            container
            for pod in map(_pod, resources)
            for container in (pod or {}).get("containers", ())
            if container["image"] == each["name"]
        ]
        if not used:
            raise KustomizeError(f"{file}: nobody runs the image {each['name']}")
        for container in used:
            tag = f":{each['newTag']}" if "newTag" in each else ""
            digest = f"@{each['digest']}" if "digest" in each else ""
            container["image"] = f"{each.get('newName', each['name'])}{tag}{digest}"


def _replicas(resources: list[Resource], given: Any, file: Path) -> None:
    for each in given:
        _only(each, file, "name", "count")
        _found(resources, file, kind="Deployment", name=each["name"])["spec"]["replicas"] = each["count"]


def _labels(resources: list[Resource], given: Any, file: Path) -> None:
    for each in given:
        _only(each, file, "includeSelectors", "pairs")
        for resource in resources:
            spec = resource.get("spec", {})
            places = [resource["metadata"].setdefault("labels", {})]
            if isinstance(spec.get("template"), dict):
                places.append(spec["template"].setdefault("metadata", {}).setdefault("labels", {}))
            if each.get("includeSelectors"):
                if resource["kind"] == "Service":
                    places.append(spec.setdefault("selector", {}))
                elif isinstance(spec.get("selector"), dict) and resource["kind"] != "ServiceMonitor":
                    places.append(spec["selector"].setdefault("matchLabels", {}))
            for place in places:
                place.update(each["pairs"])


def _namespace(resources: list[Resource], given: Any, _file: Path) -> None:
    for resource in resources:
        resource["metadata"]["namespace"] = given


_STEPS: dict[str, Callable[[list[Resource], Any, Path], None]] = {
    "resources": _resources,
    "configMapGenerator": _settings,
    "patches": _patches,
    "namespace": _namespace,
    "images": _images,
    "replicas": _replicas,
    "labels": _labels,
}
"""In the order in which they are done."""
