"""The features file: what it may say, for whom a feature is on, and what happens when the file changes."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from synckairos import metrics, watched_files
from synckairos.cli import main
from synckairos.config import SettingsError
from synckairos.features import flags
from synckairos.features.flags import SESSION_SCHEMA_2, Features
from synckairos.features.provider import FileProvider
from synckairos.features.rules import Feature, decide, place_of
from tests.support.pages import ROOT, Page, codes

SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SESSIONS = [str(uuid.UUID(int=number)) for number in range(20_000)]
FAILURES = "synckairos_features_reload_failures_total"


def write(file: Path, text: str) -> Path:
    """Replace the file, as an editor or Kubernetes does."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    return fresh.replace(file)


def features(tmp_path: Path, text: str) -> Features:
    return Features(write(tmp_path / "features.yaml", f"features: {{x: {text}}}"))


@pytest.mark.parametrize(
    ("feature", "session", "tenant", "wanted"),
    [
        ("{enabled: true}", SESSION, None, True),
        ("{enabled: false}", SESSION, None, False),
        ("{enabled: true, rollout: {strategy: all}}", SESSION, "club", True),
        ("{enabled: false, rollout: {strategy: all, whitelist: [club]}}", SESSION, "club", False),
        ("{enabled: true, rollout: {strategy: tenant, tenants: [club]}}", SESSION, "club", True),
        ("{enabled: true, rollout: {strategy: tenant, tenants: [club]}}", SESSION, "pub", False),
        ("{enabled: true, rollout: {strategy: tenant, tenants: [club]}}", SESSION, None, False),
        ("{enabled: true, rollout: {strategy: percentage, percentage: 0}}", SESSION, None, False),
        ("{enabled: true, rollout: {strategy: percentage, percentage: 100}}", SESSION, None, True),
        (
            "{enabled: true, rollout: {strategy: percentage, percentage: 0, whitelist: [club]}}",
            SESSION,
            "club",
            True,
        ),
        (
            f"{{enabled: true, rollout: {{strategy: percentage, percentage: 0, whitelist: ['{SESSION}']}}}}",
            SESSION,
            None,
            True,
        ),
        ("{enabled: true, rollout: {strategy: all, blacklist: [club]}}", SESSION, "club", False),
        (
            f"{{enabled: true, rollout: {{strategy: all, whitelist: ['{SESSION}'], blacklist: [club]}}}}",
            SESSION,
            "club",
            False,
        ),
        (
            f"{{enabled: true, rollout: {{strategy: all, whitelist: [club], blacklist: ['{SESSION}']}}}}",
            SESSION,
            "club",
            False,
        ),
    ],
)
def test_for_whom_a_feature_is_on(
    tmp_path: Path, feature: str, session: str, tenant: str | None, wanted: bool
) -> None:
    found = features(tmp_path, feature)
    assert [found.is_on("x", session, tenant) for _ in range(2)] == [wanted] * 2
    assert not found.is_on("y", session, tenant)


@pytest.mark.parametrize("percentage", [0.5, 10, 25, 50])
def test_a_percentage_is_a_part_of_all_sessions(percentage: float) -> None:
    inside = [place_of("x", session) < percentage for session in SESSIONS]
    share = percentage / 100
    assert abs(sum(inside) / len(SESSIONS) - share) < 4 * (share * (1 - share) / len(SESSIONS)) ** 0.5


def test_who_is_in_stays_in(tmp_path: Path) -> None:
    """At 10 %, and at each that is more. Another feature has another tenth."""
    file = tmp_path / "features.yaml"
    before: set[str] = set()
    for percentage in (1, 10, 25, 100):
        entry = f"{{enabled: true, rollout: {{strategy: percentage, percentage: {percentage}}}}}"
        write(file, f"features: {{x: {entry}, y: {entry}}}")
        found = Features(file)
        inside, of_other = (
            {session for session in SESSIONS[:2000] if found.is_on(name, session)} for name in "xy"
        )
        assert before <= inside
        assert percentage == 100 or inside != of_other
        before = inside


def test_every_process_says_the_same() -> None:
    """Also another Python, whose hashes of texts have another seed."""
    code = (
        "import sys; from synckairos.features.rules import place_of; "
        "print([place_of('x', session) for session in sys.argv[1:]])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *SESSIONS[:20]], capture_output=True, check=True, cwd=ROOT
    ).stdout
    assert json.loads(found) == [place_of("x", session) for session in SESSIONS[:20]]
    assert place_of("x", SESSION) == pytest.approx(PLACE, abs=1e-9)


PLACE = 92.79033303725988
"""The place of SESSION for the feature x. It is written down, because it must not change with a release."""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("features: [x]", "features must be a map"),
        ("[]", "the file must be a map"),
        ("feature: {}", "feature is unknown; there are features"),
        ("features: {x: true}", "features.x must be a map of enabled, rollout"),
        ("features: {x: }", "features.x.enabled must be true or false"),
        ("features: {x: {enabled: 'yes'}}", "features.x.enabled must be true or false"),
        ("features: {x: {enable: true}}", "features.x.enable is unknown"),
        ("features: {x: {enabled: true, rollout: all}}", "features.x.rollout must be a map"),
        ("features: {x: {enabled: true, rollout: {percent: 3}}}", "features.x.rollout.percent is unknown"),
        (
            "features: {x: {enabled: true, rollout: {percentage: 3}}}",
            "features.x.rollout.strategy must be one of all, percentage, tenant",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: some}}}",
            "features.x.rollout.strategy must be one of all, percentage, tenant",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: percentage}}}",
            "features.x.rollout.percentage is required",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: percentage, percentage: 101}}}",
            "features.x.rollout.percentage must be a number from 0 to 100",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: percentage, percentage: .nan}}}",
            "features.x.rollout.percentage must be a number from 0 to 100",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: percentage, percentage: 10%}}}",
            "features.x.rollout.percentage must be a number from 0 to 100",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: tenant}}}",
            "features.x.rollout.tenants is required",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: tenant, tenants: club}}}",
            "features.x.rollout.tenants must be a list of texts",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: all, whitelist: [7]}}}",
            "features.x.rollout.whitelist must be a list of texts",
        ),
        (
            "features: {x: {enabled: true, rollout: {strategy: all, blacklist: ['']}}}",
            "features.x.rollout.blacklist must be a list of texts",
        ),
        ("features: {'x y': {enabled: true}}", "features.x y must have a name"),
        ("features: {7: {enabled: true}}", "features.7 must have a name"),
        ("features: {", "is not YAML"),
        ("features: {x: {enabled: 2026-13-45}}", "is not YAML"),
        ("features: " + "[" * 5000, "is not YAML"),
    ],
)
def test_a_wrong_file_stops_the_start_and_a_wrong_change_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    file = write(tmp_path / "features.yaml", text)
    with pytest.raises(SettingsError) as refused:
        Features(file)
    assert any(problem in line and f"FEATURES_FILE ({file})" in line for line in refused.value.problems)

    write(file, "features: {x: {enabled: true}}")
    found = Features(file)
    failures = metrics.registry.get_sample_value(FAILURES) or 0
    write(file, text)
    logger = Mock()
    monkeypatch.setattr(watched_files, "logger", logger)
    for _ in range(3):
        found.read_again()
    logger.error.assert_called_once()
    assert any(problem in line for line in logger.error.call_args.kwargs["problems"])
    assert metrics.registry.get_sample_value(FAILURES) == failures + 1
    assert found.is_on("x", SESSION)
    write(file, "features: {x: {enabled: false}}")
    found.read_again()
    assert not found.is_on("x", SESSION)
    file.unlink()
    for _ in range(3):
        found.read_again()
    assert metrics.registry.get_sample_value(FAILURES) == failures + 2


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "features.yaml", "features: {x: {rollout: {strategy: 1}}, y: {enabled: 2}}")
    with pytest.raises(SettingsError) as refused:
        Features(file)
    assert len(refused.value.problems) == 3


def test_a_name_of_another_release_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Mock()
    monkeypatch.setattr(flags, "logger", logger)
    features(tmp_path, "{enabled: true}")
    assert logger.warning.call_args.kwargs == {"feature": "x"}
    Features(write(tmp_path / "features.yaml", "features: {session_schema2: {enabled: true}}"))
    assert logger.warning.call_args.kwargs["did_you_mean"] == SESSION_SCHEMA_2


def test_the_schema_of_a_session(tmp_path: Path) -> None:
    """Until the feature is named, nobody says in which schema a session is to be."""
    file = write(tmp_path / "features.yaml", "features: {}")
    found = Features(file)
    seen = [Features().schema_of(SESSION), found.schema_of(SESSION)]
    for entry in ("{enabled: true}", "{enabled: false}"):
        write(file, f"features: {{{SESSION_SCHEMA_2}: {entry}}}")
        found.read_again()
        seen.append(found.schema_of(SESSION))
    assert seen == [None, None, 2, 1]


def test_the_provider_says_what_openfeature_asks_for() -> None:
    rules = {
        "x": Feature(enabled=True, strategy="percentage", percentage=100.0, blacklist=frozenset({"club"})),
        "off": Feature(enabled=False),
    }
    api.set_provider_and_wait(FileProvider(lambda: rules), "test")
    client = api.get_client("test")
    assert api.get_provider_metadata("test").name == "synckairos"
    context = EvaluationContext(SESSION, {"tenant": "club"})
    for name, where, wanted in (
        ("x", EvaluationContext(SESSION), (True, "SPLIT", "on", None)),
        ("x", context, (False, "TARGETING_MATCH", "off", None)),
        ("off", context, (False, "DISABLED", "off", None)),
        ("unknown", context, (False, "ERROR", None, "FLAG_NOT_FOUND")),
        ("x", EvaluationContext(), (False, "ERROR", None, "TARGETING_KEY_MISSING")),
    ):
        found = client.get_boolean_details(name, default_value=False, evaluation_context=where)
        assert (found.value, found.reason, found.variant, found.error_code) == wanted, name
    assert client.get_string_details("x", "red", context).error_code == "TYPE_MISMATCH"
    assert client.get_boolean_details("off", True, context).flag_metadata == {"why": "it is not enabled"}


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_the_command_says_what_is_wrong(tmp_path: Path, command: str) -> None:
    file = write(tmp_path / "features.yaml", "features: {x: {enabled: perhaps}}")
    result = CliRunner().invoke(main, [command], env={"FEATURES_FILE": str(file), "REDIS_URL": "redis://x"})
    assert result.exit_code == 2
    assert "features.x.enabled must be true or false" in result.output
    result = CliRunner().invoke(main, [command], env={"FEATURES_FILE": str(tmp_path / "none.yaml")})
    assert result.exit_code == 2
    assert "none.yaml) cannot be read" in result.output


PAGE = Page(ROOT / "synckairos" / "features" / "README.md")


def test_the_page_lists_all_features() -> None:
    rows = PAGE.section("Which features there are").tables[0].rows
    assert [codes(row["name"])[0] for row in rows] == list(flags.KNOWN)


def test_the_examples_of_the_page(tmp_path: Path) -> None:
    file = write(tmp_path / "features.yaml", next(b.text for b in PAGE.blocks if b.language == "yaml"))
    commands, wanted = (block.text for block in PAGE.section("What is on for a session").blocks)
    said = ""
    for line in commands.splitlines():
        result = CliRunner().invoke(main, line.split()[1:], env={"FEATURES_FILE": str(file)})
        assert result.exit_code == 0, result.output
        said += result.output
    assert said.split() == wanted.split()
    explained = CliRunner().invoke(
        main, ["features", "explain", SESSION_SCHEMA_2, SESSIONS[0], "--file", str(file), "--json"]
    )
    decision = decide(SESSION_SCHEMA_2, Feature(True, "percentage", 10.0), SESSIONS[0])
    assert json.loads(explained.output) == {
        "on": decision.on,
        "reason": "SPLIT",
        "why": decision.why,
    }
    listed = CliRunner().invoke(main, ["features", "list", "--file", str(file), "--json"])
    assert json.loads(listed.output)[SESSION_SCHEMA_2]["rollout"]["percentage"] == 10
    nothing = CliRunner().invoke(
        main, ["features", "explain", "x", SESSION], env={"FEATURES_FILE": str(file)}
    )
    assert (nothing.exit_code, "off for all" in nothing.output) == (1, True)
    without = CliRunner().invoke(main, ["features", "list"], env={"FEATURES_FILE": ""})
    assert (without.exit_code, "FEATURES_FILE" in without.output) == (1, True)
