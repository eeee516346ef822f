"""Alerts as real programs see them: Alertmanager chooses whom to tell and when, and a Redis that is killed is
on somebody's pager within a minute.

That promtool takes the rules and their stories come true is tested with the other files in `deploy/`.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from synckairos.run.processes import free_port
from tests.support.alertmanager import SHIPPED, Alertmanager, Receiver
from tests.support.pages import ROOT
from tests.support.programs import Program, get
from tests.support.prometheus import Prometheus
from tests.support.servers import Server

PROMETHEUS = ROOT / "deploy" / "prometheus"
PAGED_WITHIN_S = 60.0
PATIENCE_S = 120.0
DOWN = {"alertname": "SyncKairosRedisDown", "severity": "P0", "server": "127.0.0.1:6379"}


def until(condition: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("severity", "receiver"), [("P0", "pager"), ("P1", "tickets"), ("P2", "review"), ("", "review")]
)
def test_who_is_told(severity: str, receiver: str) -> None:
    command = ["amtool", "config", "routes", "test", f"--config.file={SHIPPED}", f"severity={severity}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [receiver]


def hours(when: dict[str, list[str]]) -> Callable[[dict[str, Any]], None]:
    """A configuration with other business hours, which waits for nothing."""

    def change(config: dict[str, Any]) -> None:
        config["time_intervals"][0]["time_intervals"] = [when]
        for route in config["route"]["routes"]:
            route["group_wait"] = "0s"

    return change


def test_what_can_wait_is_told_in_business_hours(tmp_path: Path) -> None:
    alerts = [{"alertname": severity, "severity": severity} for severity in ("P0", "P1", "P2")]
    closed, open_ = tmp_path / "closed", tmp_path / "open"
    closed.mkdir()
    open_.mkdir()
    with Receiver() as receiver, Alertmanager(closed, receiver, hours({"years": ["2000"]})) as alertmanager:
        alertmanager.tell(*alerts)
        until(lambda: receiver.about("P0"), "the page")
        until(lambda: alertmanager.log().count("route is not within active time") >= 2, "the others' turn")
        assert {told.receiver for told in receiver.told} == {"pager"}
    with (
        Receiver() as receiver,
        Alertmanager(open_, receiver, hours({"years": ["2000:2999"]})) as alertmanager,
    ):
        alertmanager.tell(*alerts)
        until(lambda: len(receiver.told) == 3, "all of them")
        assert {(told.receiver, *told.names()) for told in receiver.told} == {
            *(("pager", "P0"), ("tickets", "P1"), ("review", "P2"))
        }


def test_a_redis_that_is_away_mutes_what_follows(tmp_path: Path) -> None:
    alone = {"alertname": "Alone", "severity": "P0"}
    follows = {"alertname": "Follows", "severity": "P0", "depends_on": "redis"}
    elsewhere = {**follows, "alertname": "Elsewhere", "deployment": "another"}
    budget = {"alertname": "SyncKairosBudgetBurns", "slo": "switch", "depends_on": "none"}
    with Receiver() as receiver, Alertmanager(tmp_path, receiver) as alertmanager:
        alertmanager.tell(DOWN)
        until(lambda: receiver.about("SyncKairosRedisDown"), "the page")
        alertmanager.tell(alone, follows, elsewhere)
        until(lambda: len(alertmanager.muted()) == 4, "all alerts")
        until(lambda: receiver.about("Alone") and receiver.about("Elsewhere"), "what does not follow")
        assert alertmanager.muted() == {
            "SyncKairosRedisDown": False,
            "Alone": False,
            "Follows": True,
            "Elsewhere": False,
        }
        until(lambda: re.search(r"flushing.*Follows", alertmanager.log()), "the turn of what follows")
        assert not receiver.about("Follows")
        alertmanager.tell({**budget, "severity": "P0"}, {**budget, "severity": "P1"})
        until(lambda: receiver.about("SyncKairosBudgetBurns"), "the page about a budget")
        assert {told.receiver for told in receiver.told} == {"pager"}


def test_a_redis_that_is_killed_is_on_the_pager_within_a_minute(
    tmp_path: Path, own_redis: Server, record_property: Callable[[str, object], None]
) -> None:
    """With the configurations that are shipped: only addresses are other ones."""
    ports = free_port(), free_port()
    api, scraped = (f"127.0.0.1:{port}" for port in ports)
    serve = Program("serve", REDIS_URL=own_redis.url, PORT=str(ports[0]), METRICS_PORT=str(ports[1]))
    with (
        serve,
        Receiver() as receiver,
        Alertmanager(tmp_path, receiver) as alertmanager,
        Prometheus(
            tmp_path, {"synckairos": [scraped]}, [alertmanager.address], as_often_as_shipped
        ) as prometheus,
    ):
        prometheus.until("redis_up", lambda found: [sample.value for sample in found] == [1])
        prometheus.until("up", lambda found: [sample.value for sample in found] == [1])
        until(lambda: _status(f"http://{api}/v1/presets") == 200, "the service")
        assert prometheus.query("ALERTS") == []
        own_redis.kill()
        killed = time.monotonic()
        until(lambda: receiver.about("SyncKairosRedisDown"), "the page")
        (page,) = receiver.about("SyncKairosRedisDown")
        record_property("counted", f"the page came {page.at - killed:.1f} s after Redis was killed")
        assert page.at - killed <= PAGED_WITHIN_S
        (alert,) = page.alerts
        assert page.receiver == "pager"
        assert alert["status"] == "firing"
        assert f"127.0.0.1:{own_redis.port}" in alert["annotations"]["description"]
        assert alert["annotations"]["runbook_url"].startswith("deploy/runbooks/redis-failover.md#")
        # What follows from it is muted, however it is found.
        alertmanager.tell({"alertname": "Follows", "severity": "P0", "depends_on": "redis"})
        until(lambda: alertmanager.muted().get("Follows"), "the mute")
        assert receiver.told == [page]
        # Redis is back: the alert ends.
        own_redis.start()
        firing = 'ALERTS{alertname="SyncKairosRedisDown"}'
        prometheus.until(firing, lambda found: not found)
        prometheus.until("redis_up", lambda found: [sample.value for sample in found] == [1])


def as_often_as_shipped(config: dict[str, Any]) -> None:
    config["global"] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]


def _status(url: str) -> int:
    with suppress(OSError):
        return get(url)[0]
    return 0
