"""A real Prometheus with the configuration that is shipped, for tests of rules, alerts and dashboards."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from synckairos.run.processes import free_port
from tests.support.launching import launch
from tests.support.pages import ROOT

SHIPPED = ROOT / "deploy" / "prometheus"
START_S = 60.0
PATIENCE_S = 90.0
"""How long a test waits for what Prometheus is to see."""


class Sample(NamedTuple):
    """One element of an answer."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """Scrapes `targets` (addresses by the name of the job) every second, with the rules that are shipped.

    folder: where its configuration and its data go
    alertmanagers: addresses; none by default
    change: what a test needs to have otherwise in the configuration
    """

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, Sequence[str]],
        alertmanagers: Sequence[str] = (),
        change: Callable[[dict[str, Any]], object] = lambda config: config,
    ) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        config = configuration(targets, alertmanagers)
        change(config)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = folder / "prometheus.log"
        self._process = launch(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--storage.tsdb.retention.time=35d",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            self._log,
        )

    def query(self, expression: str) -> list[Sample]:
        """The value of an expression now. Without anything to say it is empty."""
        found = self._get("/api/v1/query", query=expression)["data"]["result"]
        return [Sample(each["metric"], float(each["value"][1])) for each in found]

    def value(self, expression: str) -> float | None:
        """The one value of an expression; None while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} has several values: {found}"
        return found[0].value if found else None

    def until(
        self, expression: str, holds: Callable[[list[Sample]], object], within_s: float = PATIENCE_S
    ) -> list[Sample]:
        """Waits until what an expression says is as it is to be. Fails with what it says instead."""
        end = time.monotonic() + within_s
        while True:
            found = self.query(expression)
            if holds(found):
                return found
            assert time.monotonic() < end, f"{expression} is {found}"
            time.sleep(0.25)

    def _get(self, path: str, **query: str) -> Any:
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=30) as reply:
            return json.load(reply)

    def __enter__(self) -> Self:
        end = time.monotonic() + START_S
        while True:
            try:
                self._get("/api/v1/status/buildinfo")
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    raise AssertionError(self._log.read_text()) from None
                time.sleep(0.1)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def configuration(targets: Mapping[str, Sequence[str]], alertmanagers: Sequence[str] = ()) -> dict[str, Any]:
    """What is shipped, for these addresses, and with a second where that has five."""
    config: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(SHIPPED / pattern) for pattern in config["rule_files"]]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [*alertmanagers]}]}]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(targets) <= set(jobs), "the configuration has no job of this name"
    for name, addresses in targets.items():
        jobs[name]["static_configs"] = [{"targets": [*addresses]}]
    config["scrape_configs"] = [jobs[name] for name in targets]
    return config
