"""`make deploy-check`: what is in `deploy/` passes, and one misspelt key in any file of it does not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click import Context

from synckairos import __version__
from synckairos.cli import main
from tests.operations.deploy_check import kustomize
from tests.operations.deploy_check.checks import CHECKS, Check, unread
from tests.operations.deploy_check.kubernetes import SECRETS
from tests.support.pages import ROOT

DEPLOY = ROOT / "deploy"

MISSPELT = {
    "alertmanager/alertmanager.yml": [("group_wait", "group_wiat")],
    "grafana/dashboards/audit.json": [('"expr"', '"exrp"'), ('"title"', '"tilte"')],
    "grafana/dashboards/overview.json": [('"expr"', '"exrp"'), ('"panels"', '"pannels"')],
    "grafana/dashboards/slo.json": [('"expr"', '"exrp"'), ('"refresh"', '"refrsh"')],
    "grafana/provisioning/dashboards/synckairos.yaml": [
        ("providers", "provider"),
        ("      path", "      pth"),
    ],
    "grafana/provisioning/datasources/synckairos.yaml": [("isDefault", "isdefault")],
    "prometheus/prometheus.yml": [
        ("scrape_interval", "scrape_intervall"),
        ("static_configs", "static_config"),
    ],
    "prometheus/rules/alerts.yaml": [
        ("annotations", "anotations"),
        ("expr", "exrp"),
        ("runbook_url", "runbok_url"),
        ("severity: P0", "severty: P0"),
    ],
    "prometheus/rules/recorded.yaml": [("record", "recrod")],
    "prometheus/rules/slo.yaml": [("labels", "labls")],
    "prometheus/tests/alerts.yaml": [
        ("alert_rule_test", "alert_rule_tests"),
        ("input_series", "input_serie"),
    ],
    "prometheus/tests/slo.yaml": [("eval_time", "eval_tme")],
    "slo.yaml": [("percent", "precent"), ("within_seconds", "within_second")],
    "docker/Dockerfile": [
        ("HEALTHCHECK", "HEALTCHECK"),
        ("STOPSIGNAL", "STOPSIGNL"),
        ("--timeout=3s", "--timout=3s"),
        ("COPY lua", "COPY luaa"),
        ("USER 10001:10001", "USER root"),
        ("--constraint", "--constrain"),
        ("--no-create-home", "--no-creat-home"),
    ],
    "docker/Dockerfile.dockerignore": [("!lua", "!laa"), ("__pycache__", "__pycach__")],
    "docker/compose.yaml": [
        ("cap_drop", "cap_drp"),
        ("TRUSTED_PROXIES", "TRUSTED_PROXYS"),
        ("AUTH_MODE: jwt", "AUTH_MODE: jtw"),
        ("condition: service_healthy", "condition: service_helthy"),
        ("- worker", "- wroker"),
        ("redis:/data", "rediss:/data"),
        (r'requirepass "\$\$REDIS_PASSWORD"', 'requirepass "${REDIS_PASSWORD}"'),
        ("image: synckairos:", "image: synckairos:1"),
        ("POSTGRES_DB", "POSTGRES_BD"),
    ],
    "docker/compose.sentinel.yaml": [
        ("healthcheck", "healtcheck"),
        ("REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_HOST"),
        ("then\n", "the\n"),
        ("NAME: redis-1", "NAM: redis-1"),
    ],
    "environment.example": [("#SESSION_TTL", "#SESION_TTL"), ("HOST=10.0.0.11", "HSOT=10.0.0.11")],
    "haproxy/haproxy.cfg": [
        ("timeout tunnel", "timeout tunel"),
        ("maxconn", "maxcon"),
        ("{ path_beg /metrics }", "{ path_bg /metrics }"),
    ],
    "kubernetes/base/kustomization.yaml": [
        ("includeSelectors", "includeSelector"),
        ("METRICS_PORT", "METRIC_PORT"),
        ("serve.yaml", "sreve.yaml"),
    ],
    "kubernetes/base/disruption.yaml": [
        ("maxUnavailable", "maxUnavailabel"),
        (": serve\n$", ": srve\n"),
        ("component", "componnt"),
    ],
    "kubernetes/base/ingress.yaml": [
        ("pathType", "pathTyp"),
        ("proxy-next-upstream-tries", "proxy-next-upstream-try"),
        ("proxy-read-timeout", "proxy-reed-timeout"),
    ],
    "kubernetes/base/migrate.yaml": [("backoffLimit", "backofLimit"), ("key: REDIS_URL", "key: REDIS_ULR")],
    "kubernetes/base/monitoring.yaml": [
        ("scrapeTimeout", "scrapeTimout"),
        ("port: metrics", "port: metric"),
        ("kubernetes_io_component", "kubernets_io_component"),
        ("sourceLabels", "sourceLabel"),
        ("replacement: synckairos-worker", "replacement: synckairos-wroker"),
    ],
    "kubernetes/base/network.yaml": [
        ("podSelector", "podSelectr"),
        ("namespaceSelector", "namespacSelector"),
    ],
    "kubernetes/base/serve.yaml": [
        ("readinessProbe", "readynessProbe"),
        ("preStop", "prestop"),
        ("maxSurge", "maxsurge"),
        ("port: http\n", "port: htp\n"),
        ("- serve\n", "- srve\n"),
    ],
    "kubernetes/base/service-account.yaml": [("automountServiceAccountToken", "automountToken")],
    "kubernetes/base/service.yaml": [("targetPort", "tragetPort"), ("publishNotReady", "publishNotredy")],
    "kubernetes/base/worker.yaml": [
        ("livenessProbe", "livenesProbe"),
        ("allowPrivilege", "alowPrivilege"),
        ("name: synckairos-worker\n                  key", "name: synckairos-wroker\n                  key"),
    ],
    "kubernetes/overlays/production/kustomization.yaml": [
        ("newTag", "newTg"),
        ("newTag: ", "newTag: 1"),
        ("REDIS_SENTINEL_NAME", "REDIS_SENTINEL_NAM"),
        ("behavior: merge", "behaviour: merge"),
    ],
    "kubernetes/overlays/production/serve.yaml": [
        ("whenUnsatisfiable", "whenUnsatisfied"),
        ("name: synckairos-serve", "name: synckairos-srve"),
    ],
    "kubernetes/overlays/staging/ingress.yaml": [("pathType", "pathtype")],
    "kubernetes/overlays/staging/kustomization.yaml": [("replicas", "replicsa"), ("LOG_LEVEL", "LOGLEVEL")],
    "nginx/nginx.conf": [
        ("proxy_next_upstream_tries", "proxy_next_upstrem_tries"),
        ("http_host", "htp_host"),
        ("http_upgrade", "http_upgrad"),
        ("\nuser", "\nusr"),
    ],
    "nginx/upstream.conf": [("max_fails", "max_fals"), ("least_conn", "least_con")],
    "postgresql/roles.sql": [("OWNER TO", "OWNR TO"), ("synckairos_worker'", "synckairos_wroker'")],
    "redis/redis.conf": [("notify-keyspace-events", "notify-keyspace-event"), ("noeviction", "noevicton")],
    "redis/sentinel-users.acl": [(r"\+sentinel\|master", "+sentinel|mastre")],
    "redis/users.acl": [(r"\+ssubscribe", "+ssubscibe"), ("user queue on", "user queue onn")],
    "systemd/synckairos-migrate.service": [("UMask", "Umask"), ("JWT_SECRET", "JWT_SECRTE")],
    "systemd/synckairos-worker@.service": [
        ("KillMode", "KilMode"),
        ("synckairos worker", "synckairos wroker"),
    ],
    "systemd/synckairos.service": [
        ("WatchdogSec", "WatchdogSecs"),
        ("ProtectSystem=strict", "ProtectSystem=strct"),
        (r"\[Service\]", "[Servic]"),
    ],
}
"""For each file what to put in place of what, each alone: the check of the file has to refuse it."""

ALL = sorted(
    file.relative_to(DEPLOY).as_posix()
    for file in DEPLOY.rglob("*")
    if file.is_file() and file.suffix not in (".md", ".png", ".py", ".pyc")
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name.partition(" (")[0])
def test_what_is_there_passes(check: Check) -> None:
    assert check.found(DEPLOY)
    assert check.run(DEPLOY) == []


def test_no_file_is_left_out() -> None:
    assert unread(DEPLOY) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize("name", ALL)
def test_a_misspelt_key_is_refused(name: str, copy: Path) -> None:
    file = copy / name
    (*_, check) = [check for check in CHECKS if file in check.found(copy)]
    text = file.read_text()
    assert name in MISSPELT, "say above what would be misspelt in it"
    for pattern, by in MISSPELT[name]:
        changed = re.sub(pattern, by, text, count=1)
        assert changed != text, pattern
        file.write_text(changed)
        assert list(check.problems(copy, [file])), f"{pattern} as {by}"


def test_a_file_that_no_check_reads_is_named(copy: Path) -> None:
    (copy / "systemd/synckairos.timer").write_text("[Timer]\n")
    assert unread(copy) == ["systemd/synckairos.timer"]


def test_a_unit_with_less_protection_is_refused(copy: Path) -> None:
    """What protects a unit can be left out one by one, and no key is wrong then."""
    (check,) = [check for check in CHECKS if check.name.startswith("units")]
    file = copy / "systemd/synckairos.service"
    file.write_text(re.sub("^(Protect|Private|SystemCall).*\n", "", file.read_text(), flags=re.MULTILINE))
    assert any("Overall exposure level" in problem for problem in check.run(copy))


def test_overlays_are_built_as_kustomize_does() -> None:
    """Worked out by hand: replicas, image, merged ConfigMap, patched container, labels and namespace."""
    found = {
        (each["kind"], each["metadata"]["name"]): each
        for each in kustomize.build(DEPLOY / "kubernetes/overlays/production")
    }
    serve = found["Deployment", "synckairos-serve"]
    pod = serve["spec"]["template"]["spec"]
    assert serve["spec"]["replicas"] == 3
    assert serve["metadata"]["namespace"] == "synckairos"
    assert serve["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "synckairos",
        "app.kubernetes.io/component": "serve",
    }
    assert [each["whenUnsatisfiable"] for each in pod["topologySpreadConstraints"]] == ["DoNotSchedule"]
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example.org/synckairos:{__version__}"
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "512Mi"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    settings = found["ConfigMap", "synckairos"]["data"]
    assert (settings["ENVIRONMENT"], settings["DURABILITY"]) == ("production", "replicated")
    base = {each["metadata"]["name"] for each in kustomize.build(DEPLOY / "kubernetes/base")}
    assert {name for _, name in found} == base


def test_an_image_may_be_named_by_its_digest(copy: Path) -> None:
    file = copy / "kubernetes/overlays/staging/kustomization.yaml"
    digest = f"sha256:{'0' * 64}"
    file.write_text(re.sub("newTag: .*", f"digest: {digest}", file.read_text()))
    images = {
        container["image"]
        for resource in kustomize.build(file.parent)
        if "template" in resource.get("spec", {})
        for container in resource["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"registry.example.org/synckairos@{digest}"}
    (check,) = [check for check in CHECKS if check.name.startswith("Kubernetes")]
    assert check.run(copy) == []


def test_a_kustomization_that_names_what_is_not_there_is_refused(copy: Path) -> None:
    folder = copy / "kubernetes/overlays/staging"
    file = folder / "kustomization.yaml"
    good = yaml.safe_load(file.read_text())
    for name, value in (
        ("images", [{"name": "other", "newTag": "1"}]),
        ("replicas", [{"name": "other", "count": 1}]),
        ("resources", ["../../base", "../../base"]),
        ("resources", ["../../other"]),
        ("namePrefix", "other-"),
    ):
        file.write_text(yaml.safe_dump({**good, name: value}))
        with pytest.raises(kustomize.KustomizeError):
            kustomize.build(folder)


def test_commands_and_units_of_the_page_are_there() -> None:
    text = (DEPLOY / "README.md").read_text()
    code = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    commands = {
        word
        for each in code
        for word in re.findall(r"(?:^|(?<!namespace)[\s(])synckairos ([a-z][a-z-]*)(?= |$|\)|\n)", each)
    }
    assert commands >= {"serve", "doctor", "move", "restore", "audit"}
    assert commands <= {*main.list_commands(Context(main))}
    secrets = re.findall(r"create secret generic (\S+)", text)
    assert sorted(secrets) == sorted(SECRETS)
    units = {
        name
        for each in code
        for name in re.findall(r"systemctl [a-z-]+ (?:--now )?(synckairos[^#\n]*)", each)
    }
    assert units
    for unit in {unit for names in units for unit in names.split()}:
        assert (DEPLOY / "systemd" / f"{re.sub('@.*', '@', unit)}.service").exists(), unit
    for unit in (DEPLOY / "systemd").iterdir():
        for file in re.findall(r"^EnvironmentFile=-?(\S+)$", unit.read_text(), re.MULTILINE):
            assert file in text, f"{unit.name} reads {file}, and the page does not say what is in it"
