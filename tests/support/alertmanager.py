"""A real Alertmanager with the configuration that is shipped, and a receiver that notes what it is told."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from synckairos.run.processes import free_port
from tests.support.launching import launch
from tests.support.pages import ROOT

SHIPPED = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
ADDRESS = "http://127.0.0.1:9911"
"""What stands in that file for the operator's own receivers."""
START_S = 60.0


class Told(NamedTuple):
    """One notification: the name of the receiver, its alerts, and when it came (`time.monotonic`)."""

    receiver: str
    alerts: list[dict[str, Any]]
    at: float

    def names(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.alerts}


class Receiver:
    """Takes what Alertmanager sends to webhooks."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        told = self.told

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                told.append(Told(self.path.removeprefix("/"), body["alerts"], time.monotonic()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """A test's output has no need of it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def about(self, alert: str) -> list[Told]:
        """The notifications that an alert is in."""
        return [each for each in self.told if alert in each.names()]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Alertmanager:
    """Tells `receiver` what it would tell the operator.

    folder: where its configuration and its data go
    change: what a test needs to have otherwise
    """

    def __init__(
        self,
        folder: Path,
        receiver: Receiver,
        change: Callable[[dict[str, Any]], object] = lambda config: config,
    ) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        text = SHIPPED.read_text(encoding="utf-8")
        assert text.count(ADDRESS) == 3
        config: dict[str, Any] = yaml.safe_load(text.replace(ADDRESS, receiver.url))
        change(config)
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(config))
        self._log = folder / "alertmanager.log"
        self._process = launch(
            [
                "prometheus-alertmanager",
                f"--config.file={file}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
                "--log.level=debug",
            ],
            self._log,
        )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def tell(self, *alerts: dict[str, str]) -> None:
        """Tells it that alerts with these labels fire, as Prometheus would."""
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        asked = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts", body, {"content-type": "application/json"}
        )
        urllib.request.urlopen(asked, timeout=30).close()

    def muted(self) -> dict[str, bool]:
        """Whether an alert is muted by another one, by its name."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=30) as reply:
            return {
                alert["labels"]["alertname"]: bool(alert["status"]["inhibitedBy"])
                for alert in json.load(reply)
            }

    def __enter__(self) -> Self:
        end = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=30).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    raise AssertionError(self.log()) from None
                time.sleep(0.1)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
