"""`synckairos call`: every function of the library from a terminal, on one server and in a cluster."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from synckairos.call.catalogue import functions
from synckairos.call.cli import option_names
from synckairos.cli import main
from synckairos.core.library import Library
from synckairos.run import data_folder
from synckairos.run.processes import free_port
from tests.support.pages import ROOT, Page, Shell, codes, matches
from tests.support.servers import Cluster, Server
from tests.support.terminal import Terminal

PAGE = Page(ROOT / "synckairos/call/README.md")
ANNA, BEN = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
CONFIG = {
    "sync_mode": "per_participant",
    "participants": [{"participant_id": each, "total_time_ms": 60_000} for each in (ANNA, BEN)],
}


@pytest.fixture
def loaded(server: Server) -> Server:
    """A server that has the library."""
    with server.sync_client() as client:
        client.function_load(Library.assemble().payload, replace=True)
    return server


def call(environ: Mapping[str, str], *arguments: str) -> Result:
    given: dict[str, str | None] = {**dict.fromkeys(data_folder.SERVERS), **environ}
    return CliRunner().invoke(main, ["call", *arguments], env=given)


def replied(environ: Mapping[str, str], *arguments: str) -> Any:
    result = call(environ, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def created(environ: Mapping[str, str], **more: Any) -> str:
    session_id = str(uuid.uuid4())
    replied(environ, "sk_create", session_id, json.dumps(CONFIG | more), "TTL", "60")
    return session_id


def test_the_help_lists_each_function_that_the_library_registers() -> None:
    registered = set(re.findall(r"function_name = '(sk_\w+)'", Library.assemble().payload))
    assert set(functions()) == registered
    shown = CliRunner().invoke(main, ["call", "--help"]).output
    for name, function in functions().items():
        assert f"  {function.call}\n" in shown or f"  {function.call}  " in shown
        of_one = CliRunner().invoke(main, ["call", name, "--help"]).output
        assert function.text.splitlines()[0] in of_one
        assert "Reply" in of_one or "[options]" in of_one
    assert "sk_turn SESSION <participant id> [options]" in shown
    assert "sk_throttle BUCKET <burst> <count>" in shown
    assert "sk_quota TENANT <word>" in shown
    assert functions()["sk_info"].call == "sk_info"


def test_the_functions_have_as_many_keys_as_the_library_s_page_says() -> None:
    rows = Page(ROOT / "lua" / "README.md").section("Functions").tables[0].rows
    on_page = {codes(row["function"])[0]: int(row["keys"]) for row in rows}
    assert {name: function.keys for name, function in functions().items()} == on_page


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("synckairos ca", ["call"]),
        ("synckairos call sk_s", ["sk_start", "sk_switch", "sk_schedule"]),
        ("synckairos call sk_switch abc n", ["NEXT"]),
        ("synckairos call sk_switch abc CURRENT def EP", ["EPOCH"]),
        ("synckairos call sk_get abc --re", ["--redis"]),
    ],
)
def test_a_shell_completes_functions_and_their_options(words: str, completed: list[str]) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    shown = CliRunner().invoke(
        main, [], prog_name="synckairos", env={"_SYNCKAIROS_COMPLETE": "bash_complete", **asked}
    )
    assert [line.partition(",")[2] for line in shown.output.split()] == completed


def test_option_names_are_words_of_the_library() -> None:
    taken = set(re.findall(r"\b([A-Z]{3,}) = true", Library.assemble().payload)) | {"EXPORT", "SUMMARY"}
    for function in functions().values():
        assert set(option_names(function)) <= taken | {"MOVE", "TARGET", "LEASE", "SHIFT"}, function.name


@pytest.mark.one_kind
def test_the_page_s_examples_work(loaded: Server, tmp_path: Path) -> None:
    with Shell(tmp_path, {"REDIS_URL": loaded.url}) as shell:
        first, second = PAGE.examples()
        assert not first[1]
        example, shown = second
        printed = shell.run(example.text)
        assert matches(shown, printed), printed


def test_a_game_is_played_with_calls(loaded: Server) -> None:
    at = {"REDIS_URL": loaded.url}
    session_id = created(at)
    assert replied(at, "sk_start", session_id.upper())["payload"]["event"] == "session.started"
    switched = replied(at, "SK_SWITCH", session_id, "CURRENT", ANNA, "LIMIT", "5", "1", "1000", "0")
    assert switched[0]["payload"]["active_participant_id"] == BEN
    assert len(switched) == 6
    fined = replied(at, "sk_adjust", session_id, "PARTICIPANT", BEN, "ADD", "-5000", "REASON", "a phone")
    assert (fined["payload"]["adjusted_ms"], fined["payload"]["adjust_reason"]) == (-5000, "a phone")
    assert [event["version"] for event in replied(at, "sk_log", session_id, "2")] == [3, 4]
    assert "participants" not in replied(at, "sk_get", session_id, "SUMMARY")
    epoch = replied(at, "sk_get", session_id)["epoch"]
    assert replied(at, "sk_get", session_id, "UNLESS", f"4@{epoch}") is None
    assert replied(at, "sk_expire", session_id) is None
    assert replied(at, "sk_delete", session_id) == 1


def test_functions_without_a_session_have_keys_of_their_own(loaded: Server) -> None:
    at = {"REDIS_URL": loaded.url}
    assert replied(at, "sk_info")[0] == Library.assemble().version
    bucket = uuid.uuid4().hex
    assert replied(at, "sk_throttle", bucket, "2", "1", "1000", "1", "0")[:3] == [0, 2, 1]
    assert replied(at, "sk_throttle", bucket, "2", "1", "1000", "1", "0")[:3] == [0, 2, 0]
    assert replied(at, "sk_quota", "a tenant/ü", "LOOK", "5") == []


def test_a_refusal_is_a_sentence(loaded: Server) -> None:
    at = {"REDIS_URL": loaded.url}
    session_id = created(at)
    text = json.dumps(CONFIG | {"time_control": "90+30 min"})
    cases = {
        ("sk_get", str(uuid.uuid4())): "Error: there is no such session (SESSION_NOT_FOUND)\n",
        ("sk_get", "7"): "Error: the session id must be a UUID (VALIDATION_ERROR)\n",
        ("sk_pause", session_id): "(INVALID_SESSION_STATE)\n",
        ("sk_start", session_id, "NOPE", "1"): "NOPE is no option of this function (VALIDATION_ERROR)\n",
        ("sk_turn", session_id): "(VALIDATION_ERROR)\n",
        ("sk_create", session_id, json.dumps(CONFIG)): "(SESSION_EXISTS)\n",
        ("sk_create", str(uuid.uuid4()), text): '\n90+30 min\n     ^ "+", "x", "/" or the end expected\n',
        ("sk_get", session_id, "--redis", f"redis://127.0.0.1:{free_port()}"): "Redis does not answer",
        ("sk_swich", session_id): "there is no function sk_swich; did you mean sk_switch?",
        ("sk_from_tomorrow", session_id): "there is no function sk_from_tomorrow",
    }
    for arguments, words in cases.items():
        result = call(at, *arguments)
        assert result.exit_code == 1, arguments
        assert result.stdout == ""
        assert words in result.stderr
    assert call(at, "switch", session_id).exit_code == 2
    assert call(at, "sk_switch").exit_code == 2


@pytest.mark.one_kind
def test_a_function_that_only_the_server_has_is_called_with_the_session_s_keys(server: Server) -> None:
    newer = "\nredis.register_function('sk_newer', function(keys, args) return { keys[4], args[1] } end)\n"
    with server.sync_client() as client:
        client.function_load(Library.assemble().payload + newer)
    reply = replied({"REDIS_URL": server.url}, "sk_newer", f"{ANNA[:-2]}7f", "-1")
    assert reply == ["sk:{7f}:outbox", "-1"]


@pytest.mark.one_kind
def test_a_server_without_the_library_is_told_from_a_wrong_name(server: Server) -> None:
    with server.sync_client() as client:
        client.function_flush("SYNC")
    result = call({"REDIS_URL": server.url}, "sk_info")
    assert result.exit_code == 1
    assert "`synckairos functions load` loads it" in result.stderr


def test_each_session_of_a_cluster_is_found(cluster: Cluster) -> None:
    for primary in cluster.primaries:
        with primary.sync_client() as client:
            client.function_load(Library.assemble().payload, replace=True)
    at = {"REDIS_CLUSTER_NODES": cluster.nodes.split(",")[0]}
    for last in ("00", "55", "aa", "ff"):
        session_id = f"{str(uuid.uuid4())[:-2]}{last}"
        assert replied(at, "sk_create", session_id, json.dumps(CONFIG))["session_id"] == session_id
        assert replied(at, "sk_delete", session_id) == 1
    assert replied(at, "sk_throttle", "b", "2", "1", "1000", "0", "0")[1] == 2
    assert replied(at, "sk_info")[0] == Library.assemble().version


@pytest.mark.one_kind
def test_the_server_of_a_dev_in_this_folder_is_used_where_no_setting_names_one(
    loaded: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        data_folder.locked(data_folder.DEFAULT) as (folder, _),
        data_folder.announced(folder, {"REDIS_URL": loaded.url, "HTTP_URL": "http://127.0.0.1:1"}),
    ):
        assert replied({}, "sk_info")[0] == Library.assemble().version
        elsewhere = call({"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}, "sk_info")
        assert "Redis does not answer" in elsewhere.stderr


@pytest.mark.one_kind
def test_on_a_terminal_the_reply_is_indented_and_cannot_move_the_cursor(loaded: Server) -> None:
    title = "\x1b[2J\x9b\u202eevil"
    session_id = created({"REDIS_URL": loaded.url}, metadata={"title": title})
    arguments = ("call", "sk_get", session_id, "--redis", loaded.url)
    with Terminal(*arguments, columns=100, rows=100) as terminal:
        assert terminal.ended() == 0
        said = terminal.raw.replace("\r\n", "\n")
    assert said.startswith('{\n  "session_id": "')
    assert "\x1b" not in said
    assert json.loads(said)["metadata"] == {"title": title}
