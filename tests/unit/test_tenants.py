"""The tenants file: what it may say, and what happens when it changes."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from synckairos import watched_files
from synckairos.auth.tenants import Quotas, Rate, Tenant, Tenants
from synckairos.cli import main
from synckairos.config import SettingsError

FILE = """
tenants:
  club:
    quotas: {sessions: 5, participants: 50, sockets: 20, creates_per_day: 100}
    limits: {switch: 20/s, read: 600/min, create: 5000/h, change: 120/min, sockets: 10/min}
  gone: {suspended: true}
  plain:
"""


def write(file: Path, text: str) -> None:
    """Replace the file, as an editor or Kubernetes does."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def test_what_each_tenant_may_use(tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    write(file, FILE)
    tenants = Tenants(file)
    assert tenants.of("club") == Tenant(
        quotas=Quotas(5, 50, 20, 100),
        limits={
            "switch": Rate(20, 1000),
            "read": Rate(600, 60_000),
            "create": Rate(5000, 3_600_000),
            "change": Rate(120, 60_000),
            "sockets": Rate(10, 60_000),
        },
    )
    assert tenants.of("gone").suspended
    assert tenants.of("plain") == tenants.of("nobody") == tenants.of(None) == Tenants().of("club") == Tenant()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tenants: [club]", "tenants must be a map"),
        ("[]", "the file must be a map"),
        ("tenant: {}", "tenant is unknown"),
        ("tenants: {club: {quota: {}}}", "tenants.club.quota is unknown"),
        ("tenants: {club: {suspended: maybe}}", "tenants.club.suspended must be true or false"),
        ("tenants: {club: {quotas: {sessions: -1}}}", "tenants.club.quotas.sessions must be a whole number"),
        (
            "tenants: {club: {quotas: {sessions: true}}}",
            "tenants.club.quotas.sessions must be a whole number",
        ),
        ("tenants: {club: {quotas: {games: 1}}}", "tenants.club.quotas.games is unknown"),
        ("tenants: {club: {limits: {switch: 20}}}", "tenants.club.limits.switch must be a rate"),
        ("tenants: {club: {limits: {switch: 0/s}}}", "tenants.club.limits.switch must be a rate"),
        ("tenants: {club: {limits: {time: 1/s}}}", "tenants.club.limits.time is unknown"),
        ("tenants: {7: {}}", "tenants.7 must have a name"),
        ("tenants: {", "is not YAML"),
    ],
)
def test_a_wrong_file_stops_the_start_and_a_wrong_change_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    file = tmp_path / "tenants.yaml"
    write(file, text)
    with pytest.raises(SettingsError) as refused:
        Tenants(file)
    assert any(problem in line and str(file) in line for line in refused.value.problems)

    write(file, FILE)
    tenants = Tenants(file)
    write(file, text)
    logger = Mock()
    monkeypatch.setattr(watched_files, "logger", logger)
    tenants.read_again()
    tenants.read_again()
    logger.error.assert_called_once()
    assert any(problem in line for line in logger.error.call_args.kwargs["problems"])
    assert tenants.of("gone").suspended
    write(file, "tenants: {gone: {}}")
    tenants.read_again()
    assert not tenants.of("gone").suspended
    file.unlink()
    tenants.read_again()
    assert tenants.of("club") == Tenant()


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_the_command_says_what_is_wrong(tmp_path: Path, command: str) -> None:
    file = tmp_path / "tenants.yaml"
    write(file, "tenants: {club: {limits: {switch: fast}}}")
    result = CliRunner().invoke(main, [command], env={"TENANTS_FILE": str(file), "REDIS_URL": "redis://x"})
    assert result.exit_code == 2
    assert "tenants.club.limits.switch must be a rate such as 20/s" in result.output


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Tenants(tmp_path / "tenants.yaml")
