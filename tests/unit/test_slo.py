"""Objectives: what follows from `deploy/slo.yaml`, which files are refused, and the report of budgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from click.testing import CliRunner, Result

from synckairos.cli import main
from synckairos.slo import objectives
from synckairos.slo.report import LONGEST
from tests.support.listening import listening
from tests.support.pages import ROOT, Page

FILE = ROOT / "deploy" / "slo.yaml"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "slo.yaml"
PAGE = Page(ROOT / "synckairos" / "slo" / "README.md")
AT = 1_796_000_000.0
WINDOW_S = 30 * 86400.0

Value = float | None
Numbers = dict[str, tuple[Value, Value, Value]]
"""By objective: error ratio and burn rate of the last hour, and what is used."""


def test_the_rules_are_those_of_the_objectives() -> None:
    made = CliRunner().invoke(main, ["slo", "rules", str(FILE)])
    assert made.output == RULES.read_text(encoding="utf-8"), (
        "synckairos slo rules > deploy/prometheus/rules/slo.yaml"
    )


def test_what_is_promised() -> None:
    found = objectives.load(FILE)
    promised = {name: (each.percent, each.within_seconds) for name, each in found.objectives.items()}
    assert promised == {
        "switch": (99.9, 0.05),
        "read": (99.9, 0.01),
        "availability": (99.9, None),
        "delivery": (99.9, 0.1),
        "expiry": (99.9, 0.05),
    }
    windows = [(each.burn_rate, each.long, each.short) for each in found.burn_alerts]
    assert windows == [(14.4, "1h", "5m"), (6, "6h", "30m"), (1, "3d", "6h")]
    # At the least number of events an alert needs three bad ones.
    for each in found.burn_alerts:
        assert 2 < each.minimum_events * each.burn_rate * 0.001 < 3.001


def _objective(**change: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["objectives"]["expiry"].update(change)


def _alert(**change: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["burn_alerts"][0].update(change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            _objective(within_seconds=0.04),
            "0.04 s is no bound of a bucket of synckairos_expiry_lateness_seconds",
        ),
        (_objective(bad='status=~"5.."'), "give either within_seconds or bad"),
        (_objective(within_seconds=None), "give either within_seconds or bad"),
        (_objective(histogram="synckairos_expiries_total"), "no histogram of this service"),
        (_objective(histogram="synckairos_lateness_seconds"), "no histogram of this service"),
        (_objective(percent=100), "`float` < 100"),
        (_objective(within=0.05), "unknown field `within`"),
        (_alert(long="1 h"), "'1 h' is no duration"),
        (_alert(short="1h"), "1h has to be at least 5m and shorter than 1h"),
        (_alert(short="1m"), "1m has to be at least 5m"),
        (_alert(long="31d"), "within window_days"),
        (_alert(severity="high"), "Invalid enum value 'high'"),
        (lambda content: content.pop("window_days"), "missing required field `window_days`"),
    ],
)
def test_a_file_that_cannot_work_is_refused(
    change: Callable[[dict[str, Any]], None], says: str, tmp_path: Path
) -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    change(content)
    wrong = tmp_path / "slo.yaml"
    wrong.write_text(yaml.safe_dump(content))
    result = CliRunner().invoke(main, ["slo", "rules", str(wrong)])
    assert result.exit_code == 1
    assert says in result.output


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "slo.yaml"
    wrong.write_text("objectives: [")
    result = CliRunner().invoke(main, ["slo", "rules", str(wrong)])
    assert result.exit_code == 1
    assert "slo.yaml" in result.output


def _vector(numbers: Numbers, counted_s: float = WINDOW_S) -> list[Any]:
    def series(name: str, value: Value, **labels: str) -> list[Any]:
        if value is None:
            return []
        return [{"metric": {"__name__": name, **labels}, "value": [AT, str(value)]}]

    found = series("slo:window:seconds", WINDOW_S) + series("slo:counted:seconds", counted_s)
    for slo, (ratio, burn_rate, used) in numbers.items():
        found += series("slo:objective:ratio", 0.999, slo=slo, title=f"The promise of {slo}")
        found += series("slo:error_ratio:sum1h", ratio, slo=slo)
        found += series("slo:burn_rate:sum1h", burn_rate, slo=slo)
        found += series("slo:error_budget_used:ratio", used, slo=slo)
        found += series("slo:events:sum30d", None if used is None else 4000.0, slo=slo)
    return found


@contextmanager
def prometheus(vector: list[Any] | str) -> Iterator[str]:
    """What answers like a Prometheus that has these series, or with this text. Yields its URL."""
    text = (
        vector if isinstance(vector, str) else json.dumps({"status": "success", "data": {"result": vector}})
    )

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            assert parse_qs(asked.query) == {"query": ['{__name__=~"slo:.+"}']}
            self.send_response(200 if asked.path == "/api/v1/query" else 404)
            self.end_headers()
            with suppress(OSError):  # whoever has read enough is gone
                self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """A test's output has no need of it."""

    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Answers)) as port:
        yield f"http://127.0.0.1:{port}"


def report(numbers: Numbers, *options: str, **counted_s: float) -> Result:
    with prometheus(_vector(numbers, **counted_s)) as url:
        return CliRunner().invoke(main, ["slo", "report", "--prometheus", url, *options])


WELL, FAST, EXACTLY, SPENT, IDLE = "switch", "availability", "read", "expiry", "delivery"
NUMBERS: Numbers = {
    WELL: (0.0005, 0.5, 0.125),
    FAST: (0.005, 5.0, 0.8),
    EXACTLY: (0.0, 0.0, 1.0),
    SPENT: (0.004, 4.0, 2.0),
    IDLE: (None, None, None),
}


def test_the_report_for_machines() -> None:
    result = report(NUMBERS, "--json")
    found = json.loads(result.output)
    assert (found["at"], found["window_s"]) == ("2026-11-30T00:53:20Z", WINDOW_S)
    assert found["counted_s"] == WINDOW_S
    budgets = {each["slo"]: each for each in found["budgets"]}
    assert budgets[WELL]["title"] == "The promise of switch"
    shown: dict[str, Any] = {
        name: tuple(
            None if budget[field] is None else pytest.approx(budget[field])
            for field in ("objective", "now", "burn_rate", "used", "left")
        )
        for name, budget in budgets.items()
    }
    assert shown == {
        WELL: (0.999, 0.9995, 0.5, 0.125, 0.875),
        FAST: (0.999, 0.995, 5.0, 0.8, 0.2),
        EXACTLY: (0.999, 1.0, 0.0, 1.0, 0.0),
        SPENT: (0.999, 0.996, 4.0, 2.0, -1.0),
        IDLE: (0.999, None, None, None, None),
    }
    # A fifth of the budget of 30 days, five times as fast: 1.2 days.
    until = {name: budget["lasts_until"] for name, budget in budgets.items()}
    assert until == {WELL: None, FAST: "2026-12-01T05:41:20Z", EXACTLY: None, SPENT: None, IDLE: None}
    assert [name for name, budget in budgets.items() if budget["spent"]] == [EXACTLY, SPENT]


def test_the_report_for_people() -> None:
    result = report(NUMBERS)
    assert result.output.splitlines() == [
        "Error budgets of 30 days, at 2026-11-30T00:53:20Z",
        "objective     promised  now      burn rate  used    left    lasts until",
        "switch        99.9 %    99.95 %  0.50       12.5 %  87.5 %  more than 30 days",
        "availability  99.9 %    99.5 %   5.00       80 %    20 %    2026-12-01T05:41:20Z",
        "read          99.9 %    100 %    0.00       100 %   0 %     spent",
        "expiry        99.9 %    99.6 %   4.00       200 %   -100 %  spent",
        "delivery      99.9 %    -        -          -       -       no events",
    ]


def test_a_prometheus_that_is_younger_than_the_window_is_no_secret() -> None:
    result = report(NUMBERS, counted_s=WINDOW_S / 2)
    assert "Prometheus has counted for 15.0 of these days only." in result.output


@pytest.mark.parametrize(("used", "code"), [(0.0, 0), (0.999, 0), (1.0, 1), (1.7, 1), (None, 0)], ids=str)
def test_the_exit_code_says_whether_a_budget_is_spent(used: Value, code: int) -> None:
    for options in ([], ["--json"]):
        assert report({"switch": (0.0, 0.0, 0.1), "read": (0.0, 0.0, used)}, *options).exit_code == code


def test_without_rules_there_is_no_report() -> None:
    with prometheus([]) as url:
        result = CliRunner().invoke(main, ["slo", "report", "--prometheus", url])
    assert result.exit_code == 2
    assert "load deploy/prometheus/rules/slo.yaml" in result.output


@pytest.mark.parametrize("path", ["", "/elsewhere"], ids=["nobody is there", "it is something else"])
def test_where_no_prometheus_is_there_is_no_report(path: str) -> None:
    with prometheus([]) as url:
        where = f"{url}{path}" if path else "http://127.0.0.1:1"
        result = CliRunner().invoke(main, ["slo", "report", "--prometheus", where])
    assert result.exit_code == 2
    assert "does not answer" in result.output


def _changed(name: str, value: object) -> str:
    """The answer of a Prometheus in which a series has another value."""
    vector = _vector({"switch": (0.005, 5.0, 0.1)})
    for each in vector:
        if each["metric"]["__name__"] == name:
            each["value"] = value
    return json.dumps({"status": "success", "data": {"result": vector}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        '{"data":{"result":{}}}',
        '{"data":{"result":[{"metric":{"slo":7},"value":[1,"1"]}]}}',
        '{"data":{"result":[{"metric":{}}]}}',
        _changed("slo:error_budget_used:ratio", [AT, "NaN"]),
        _changed("slo:burn_rate:sum1h", [AT, "+Inf"]),
        _changed("slo:burn_rate:sum1h", [AT, 0.5]),
        _changed("slo:window:seconds", [AT, "many"]),
        _changed("slo:window:seconds", [1e300, "1"]),
        _changed("slo:window:seconds", [AT, "1e300"]),
        '{"data":{"result":[]}}' + " " * LONGEST,
    ],
    ids=range(13),
)
def test_an_answer_that_makes_no_sense_is_no_report(text: str) -> None:
    with prometheus(text) as url:
        result = CliRunner().invoke(main, ["slo", "report", "--prometheus", url])
    assert result.exit_code == 2, "1 would be a budget that is spent, and 0 none"
    assert "Error: " in result.output
    assert isinstance(result.exception, SystemExit), "a sentence, and no traceback"


@pytest.mark.parametrize("url", ["http://[", "ftp://127.0.0.1", "127.0.0.1:1", "http://127.0.0.1:99999"])
def test_an_address_that_is_none_is_no_report(url: str) -> None:
    result = CliRunner().invoke(main, ["slo", "report", "--prometheus", url])
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)


def test_titles_of_others_move_no_cursor() -> None:
    vector = _vector({"switch": (0.0, 0.5, 0.1)})
    vector[2]["metric"]["title"] = "\x1b[2J\x9b2J\u202e"
    with prometheus(vector) as url:
        for options in ([], ["--json"]):
            output = CliRunner().invoke(main, ["slo", "report", "--prometheus", url, *options]).output
            assert output.replace("\n", "").isascii()
            assert "\x1b" not in output


def test_the_page_works_the_formulas_out() -> None:
    (table,) = [table for table in PAGE.section("The words").tables if "current" in table.heads]
    target = 99.9
    for row in table.rows:
        current = float(row["current"])
        used = (100 - current) / (100 - target)
        other = (target - current) / (100 - target)
        wanted = [used, 1 - used, other]
        shown = [float(row[head].removesuffix(" %")) / 100 for head in table.heads[1:]]
        assert shown == pytest.approx(wanted, abs=1e-6)
        assert other == pytest.approx(used - 1)


def test_the_page_names_what_is_promised() -> None:
    found = objectives.load(FILE)
    rows = PAGE.sections[1].tables[0].rows
    assert [row["objective"].strip("`") for row in rows] == [*found.objectives]
    for row, each in zip(rows, found.objectives.values(), strict=True):
        if each.within_seconds is not None:
            assert f"within {each.within_seconds * 1000:g} ms" in row["promised for 99.9 %"]
    alerts = PAGE.section("The alerts").tables[0].rows
    for row, alert in zip(alerts, found.burn_alerts, strict=True):
        assert row["windows"] == f"{alert.long} and {alert.short}"
        assert float(row["burn rate"]) == alert.burn_rate
        assert row["at least"] == f"{alert.minimum_events:,} events"
        assert row["severity"] == alert.severity
        share = alert.burn_rate * objectives.seconds(alert.long) / WINDOW_S
        assert row["spends of the budget"].startswith(f"{share * 100:.0f} % in")
