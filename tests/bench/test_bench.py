"""Each bench runs, and each figure of its report has its yardstick. How fast anything is, is not asked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs, servers

FIGURE = {
    "name",
    "value",
    "unit",
    "yardstick",
    "yardstick_value",
    "ratio",
    "at_least",
    "at_most",
    "note",
    "met",
}


WITHIN_S = 300.0
"""The longest takes 30 s on a quiet machine: those that create large sessions wait for one another."""


def bench(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The report of a quick run as JSON, and the table."""
    file = folder / "report.json"
    run = programs.run_within(
        WITHIN_S, "bench", *arguments, "--quick", "--json", str(file), TMPDIR=str(folder)
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(file.read_text())
    assert (report["bench"], report["quick"]) == (arguments[0], True)
    for figure in report["figures"]:
        assert figure.keys() == FIGURE
        assert isinstance(figure["value"], int | float), figure
        assert figure["name"] in run.stdout
        if figure["yardstick"] is not None:
            assert isinstance(figure["yardstick_value"], int | float), figure
        if figure["at_least"] is not None or figure["at_most"] is not None:
            assert isinstance(figure["met"], bool)
    assert {path.name for path in folder.iterdir()} == {"report.json"}, "something was left behind"
    return report, run.stdout


def named(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [figure for figure in report["figures"] if figure["name"].startswith(name)]
    assert found, [figure["name"] for figure in report["figures"]]
    return found[0]


def test_tracing_is_held_against_a_service_without_it(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "tracing")
    assert all(figure["value"] > 0 for figure in report["figures"])
    assert named(report, "off, CPU")["yardstick"] == "without tracing"
    assert named(report, "1 % sampled, CPU")["yardstick"] == "off"


def test_webhooks_are_held_against_the_way_to_postgresql(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "webhooks")
    assert all(figure["value"] > 0 for figure in report["figures"])
    assert named(report, "from commit to request in quiet, p50")["at_most"] == 500
    assert named(report, "the same")["yardstick"] == "from commit to PostgreSQL, p50"
    assert named(report, "beside 19 dead receivers")["yardstick"] == "without them, p50"


def test_the_access_log_is_held_against_rows_without_a_chain(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "access-log")
    assert all(figure["value"] > 0 for figure in report["figures"])
    assert named(report, "rows into one chain")["yardstick"] == "without a chain"
    assert "postgresql" in report["machine"]


def test_the_chain_is_held_against_a_request_and_its_breaker_against_waiting(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "chain")
    cost = named(report, "13 middlewares")
    assert (cost["yardstick"], cost["at_most"]) == ("a switch over HTTP, CPU of the service", 0.05)
    for away in ("hangs", "was killed"):
        assert named(report, f"an answer while Redis {away}")["at_most"] == 20
        figure = named(report, f"the same while Redis {away}")
        assert figure["yardstick"].startswith("GET /health")
        assert figure["ratio"] > 0


@pytest.mark.parametrize("kind", servers.available())
def test_core_holds_the_switch_against_set_and_a_bare_function(tmp_path: Path, kind: servers.Kind) -> None:
    if shutil.which("redis-benchmark") is None and os.environ.get("CI") != "true":
        assert "redis-benchmark is not installed" in programs.run("bench", "core").stderr
        return
    report, _ = bench(tmp_path, "core", "--server", kind)
    yardsticks = {(figure["name"].partition(": ")[2], figure["yardstick"]) for figure in report["figures"]}
    assert {
        ("sk_switch", "SET"),
        ("sk_switch", "bare function"),
        ("bare function", "SET"),
        ("sk_switch, 1,000 participants", "2 participants"),
        ("sk_get, 1,000 participants", "SET"),
    } <= yardsticks
    switch = report["figures"][0]
    assert switch["at_least"] == {"redis": 0.45, "valkey": 0.30}[kind]
    assert switch["ratio"] > 0
    memory = report["figures"][[figure["unit"] for figure in report["figures"]].index("B")]
    assert 500 < memory["value"] < 100_000
    played = f"{kind.title()}: a session played for 80 switches"
    alone, audited = (named(report, f"{played}, {where}") for where in ("without an audit store", "with one"))
    # At least 64 and 24 events are in the log, and at most 3 more for each piece of its memory and each trim.
    for figure, least, most in ((alone, 64, 70), (audited, 24, 27)):
        assert 900 * least <= figure["yardstick_value"] <= 1100 * most
        assert figure["yardstick_value"] < figure["value"] < 2 * figure["yardstick_value"]
    assert report["machine"][kind] == servers.version(kind)


def test_core_names_the_program_that_is_missing(tmp_path: Path) -> None:
    run = programs.run("bench", "core", "--quick", "--server", "valkey", PATH=str(tmp_path))
    assert run.returncode == 1
    assert "redis-benchmark is not installed" in run.stderr
    assert "redis-tools" in run.stderr


def test_http_holds_the_switch_against_a_server_that_does_nothing(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "http")
    switch = named(report, "switch, 64 connections")
    assert switch["yardstick"] == "Sanic no-op, 1 process"
    assert switch["at_least"] == 0.6
    assert named(report, "switch, 1,000 participants")["yardstick"] == "2 participants"
    alone = named(report, "switch, one connection, p50")
    assert alone["ratio"] == pytest.approx(alone["value"] / alone["yardstick_value"])


def test_tokens_hold_a_switch_against_one_without(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "tokens")
    assert named(report, "JWT, 64 connections")["at_least"] == 0.9
    assert named(report, "API key, 64 connections")["yardstick"] == "no token"
    assert named(report, "read, link, CPU")["yardstick"] == "read, no token"


def test_ws_makes_every_delivery(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "ws")
    deliveries = named(report, "deliveries")
    assert deliveries["value"] == deliveries["yardstick_value"] == 100 * 20
    last = [figure for figure in report["figures"] if "p99" in figure["name"]]
    assert [(figure["yardstick"], figure["at_most"]) for figure in last] == [
        ("plain loop, p99", 1.5),
        ("plain loop to last reader, p99", None),
    ]


def test_audit_holds_the_archive_against_copy_and_the_service(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "audit")
    archived = [figure for figure in report["figures"] if figure["name"].startswith("archived")]
    assert [(figure["yardstick"], figure["at_least"]) for figure in archived] == [
        ("COPY of the same rows", 0.3),
        ("switches of the service", 1.2),
    ]
    away = named(report, "200 switches a second with PostgreSQL away")
    assert (away["yardstick"], away["at_most"]) == ("with PostgreSQL there, p99", 1.5)
    stored = named(report, "events stored after that")
    assert stored["value"] == stored["yardstick_value"] > 400
    assert stored["met"] is True


def test_every_clock_expires_by_itself(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "expiry")
    expired = named(report, "clocks expired by themselves")
    assert expired["value"] == expired["at_least"] == 30
    assert expired["met"] is True
    assert named(report, "late, p99")["yardstick"] == "notified by TTL, p99"
    assert len(report["details"]["late_ms"]) == len(report["details"]["delivered_ms"]) == 30
    assert report["details"]["switches_per_s"] > 0
    herd = named(report, "200 clocks due at one moment: late, p99")
    assert herd["yardstick"] == "called by one client, in all"
    assert len(report["details"]["herds_late_ms"][herd["name"]]) == 200
    calls = named(report, "200 clocks due at one moment: calls")
    assert calls["value"] >= calls["yardstick_value"] == 200
    assert calls["at_most"] == 1.2


def test_restore_waits_until_all_that_was_lost_is_back(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "restore")
    assert named(report, "200 lost sessions are back")["at_most"] == 30.0
    assert named(report, "sessions a second")["value"] > 0
    assert report["details"]["switches"] > 0


def test_durability_holds_a_confirmed_switch_against_one_at_once(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "durability")
    for callers in ("1 caller", "16 callers"):
        figure = named(report, f"switch, replicated, {callers}, p50")
        assert (figure["yardstick"], figure["at_most"]) == ("async", 1.3)
        assert named(report, f"switch, durable, {callers}, p50")["value"] > 0


def test_cluster_moves_slots_without_an_error(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "cluster")
    for how in ("key by key", "in one step"):
        assert named(report, f"slots that move {how}, errors")["met"], report["details"]
        assert named(report, f"slots that move {how}, longest pause")["value"] > 0
    assert named(report, "partitions of the fullest of 3 shards")["value"] == 89


def test_sockets_are_weighed_and_come_back(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "sockets")
    assert named(report, "a socket, with 200")["at_most"] == 20
    assert named(report, "from the kill")["value"] > 0


def test_attack_holds_a_victim_against_the_same_in_quiet(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "attack", "frames", "senders")
    beside = [figure for figure in report["figures"] if figure["name"].endswith("a switch beside it, p99")]
    aims = [("in quiet, p99", 3.0)] * 2 + [("in quiet, p99", None)] * 2
    assert [(figure["yardstick"], figure["at_most"]) for figure in beside] == aims
    closed = [figure for figure in report["figures"] if "closed with 1008" in figure["name"]]
    assert [figure["value"] for figure in closed] == [20, 20]
    failed = [figure for figure in report["figures"] if "not answered by 200" in figure["name"]]
    assert [figure["value"] for figure in failed] == [0] * 4
    assert len([figure for figure in report["figures"] if "the last is gone" in figure["name"]]) == 2


def test_attack_creates_and_logs_in(tmp_path: Path) -> None:
    report, _ = bench(tmp_path, "attack", "creations", "logins")
    beside = [figure for figure in report["figures"] if figure["name"].endswith("a switch beside it, p99")]
    assert [(figure["yardstick"], figure["at_most"]) for figure in beside] == [("in quiet, p99", 3.0)] * 6
    failed = [figure for figure in report["figures"] if "not answered by 200" in figure["name"]]
    assert [figure["value"] for figure in failed] == [0] * 6
    created = [figure for figure in report["figures"] if figure["name"].endswith(": creations")]
    assert all("201" in figure["note"] for figure in created if "refused" not in figure["name"])
    assert all("400" in figure["note"] for figure in created if "refused" in figure["name"])
    logins = named(report, "30 wrong logins a second")
    assert logins["at_most"] == 5.0
    assert "401" in logins["note"]
    assert "429" in logins["note"]


def test_attack_names_the_attacks_that_there_are() -> None:
    run = programs.run("bench", "attack", "none")
    assert run.returncode == 2
    assert "there are frames, senders, creations, logins" in run.stderr
