"""The command line: what it prints where, what it refuses and how, and the exit codes."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
import redis

from synckairos.core.library import Library
from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.programs import Program, get, run
from tests.support.servers import Cluster, Server

OWN = Library.assemble()


def refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It ended with this code, said these words to standard error, and nothing else of note."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.returncode == 0
    commands = ("dev", "serve", "functions", "worker", "migrate", "audit")
    assert all(command in result.stdout for command in commands)
    assert "http-worker" not in result.stdout


def test_bundle_prints_the_library() -> None:
    assert run("functions", "bundle").stdout == OWN.payload
    assert run("functions", "bundle", "--virtual-time").stdout == Library.assemble(virtual_time=True).payload


def test_check_source_knows_whether_code_and_version_fit(tmp_path: Path) -> None:
    """On a copy of the package with its Lua, to change it."""
    root = Path(__file__).parent.parent.parent
    for part in ("synckairos", "lua"):
        subprocess.run(["cp", "-r", root / part, tmp_path], check=True)
    checksum = tmp_path / "lua" / "CHECKSUM"
    checksum.unlink(missing_ok=True)
    path = str(tmp_path)
    refused(run("functions", "check", "--source", PYTHONPATH=path), 1, "lua/CHECKSUM")
    assert run("functions", "check", "--source", "--record", PYTHONPATH=path).returncode == 0
    assert checksum.read_text().split()[0] == OWN.version
    assert run("functions", "check", "--source", PYTHONPATH=path).returncode == 0
    with (tmp_path / "lua" / "storage" / "time.lua").open("a") as module:
        module.write("local unused = 1\n")
    refused(run("functions", "check", "--source", PYTHONPATH=path), 1, "give lua/VERSION a new version")


def test_load_and_check_a_server(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    missing = run("functions", "check", "--url", server.url)
    assert (missing.returncode, missing.stdout) == (1, f"{address}: synckairos {OWN.version}: missing\n")
    loaded = run("functions", "load", REDIS_URL=server.url)
    assert (loaded.returncode, loaded.stdout) == (0, f"{address}: synckairos {OWN.version}: loaded\n")
    same = run("functions", "check", "--url", server.url)
    assert (same.returncode, same.stdout) == (0, f"{address}: synckairos {OWN.version}: same\n")
    assert "was there" in run("functions", "load", REDIS_URL=server.url).stdout


@pytest.mark.one_kind
def test_load_and_check_other_code_of_the_same_version(server: Server) -> None:
    with server.sync_client() as client:
        client.function_load(OWN.payload + "\nlocal other = 1\n")
    found = run("functions", "check", "--url", server.url)
    assert found.returncode == 1
    assert "same version with other code" in found.stdout
    refused(run("functions", "load", "--url", server.url), 1, "functions load --force")
    assert run("functions", "load", "--force", "--url", server.url).returncode == 0
    assert run("functions", "check", "--url", server.url).returncode == 0


@pytest.mark.one_kind
@pytest.mark.parametrize(("version", "code", "word"), [("0.0.1", 1, "older"), ("999.0.0", 0, "newer")])
def test_check_other_versions(server: Server, version: str, code: int, word: str) -> None:
    with server.sync_client() as client:
        client.function_load(OWN.payload.replace(f'VERSION = "{OWN.version}"', f'VERSION = "{version}"'))
    found = run("functions", "check", "--url", server.url)
    assert (found.returncode, found.stdout.split()[-1]) == (code, word)


def test_load_and_check_a_cluster(cluster: Cluster) -> None:
    environ = {"REDIS_CLUSTER_NODES": cluster.nodes.split(",")[0]}
    assert len(run("functions", "load", **environ).stdout.splitlines()) == 3
    with cluster.primaries[1].sync_client() as client:
        client.function_flush("SYNC")
    found = run("functions", "check", **environ)
    assert found.returncode == 1
    assert sorted(line.split()[-1] for line in found.stdout.splitlines()) == ["missing", "same", "same"]


def test_a_server_that_is_not_there_is_said_to_be_not_there() -> None:
    port = free_port()
    for command in ("load", "check"):
        refused(
            run("functions", command, "--url", f"redis://127.0.0.1:{port}"), 1, "does not answer", str(port)
        )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "http"}, ["PORT must be a whole number from 0 to 65535"]),
        ({"REDIS_URL": "localhost", "WORKERS": "0"}, ["REDIS_URL must be a URL", "WORKERS must be"]),
        ({"ENVIRONMENT": "production"}, ["AUTH_MODE must not be none"]),
    ],
)
def test_serve_refuses_wrong_settings_by_name(environ: dict[str, str], words: list[str]) -> None:
    refused(run("serve", **environ), 2, *words)


def test_serve_refuses_what_its_file_should_not_have(tmp_path: Path) -> None:
    file = tmp_path / "synckairos.yaml"
    file.write_text("redis_url: redis://localhost\nsesion_ttl: 60\nlog_level: loud\n")
    refused(
        run("serve", "--config", str(file)),
        2,
        f"sesion_ttl (in {file}) is not a setting; did you mean session_ttl?",
        "log_level",
        "debug, info, warning, error or critical",
    )
    refused(run("serve", "--config", str(tmp_path / "none.yaml")), 2, "none.yaml")


def test_serve_and_worker_name_a_busy_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(run("serve", PORT=str(port)), 1, f"port {port}")
        given = {"METRICS_PORT": str(port), "DATABASE_URL": "postgresql://localhost/none"}
        refused(run("worker", **given), 1, f"METRICS_PORT {port}", "ports of their own")


@pytest.mark.one_kind
def test_serve_does_not_start_over_other_code_of_its_version(server: Server) -> None:
    with server.sync_client() as client:
        client.function_load(OWN.payload + "\nlocal other = 1\n")
    result = run("serve", REDIS_URL=server.url, PORT="0")
    assert result.returncode == 1
    assert "functions load --force" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.one_kind
def test_serve_answers_keeps_its_workers_and_ends_cleanly(server: Server, tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "synckairos.yaml"
    file.write_text(f"redis_url: {server.url}\nport: {port}\nworkers: 2\n")
    with Program("serve", "--config", str(file)) as program:

        def answers() -> bool:
            try:
                return get(f"http://127.0.0.1:{port}/ready")[0] == 200
            except OSError:
                return False

        program.until(answers, "an answer")
        first, second = sorted(process.pid for process in program.workers())
        os.kill(first, 9)
        program.until(
            lambda: (
                len(program.workers()) == 2
                and {process.pid for process in program.workers()} != {first, second}
            ),
            "another worker",
        )
        program.until(answers, "an answer")
        assert program.end() == 0
        assert program.lines == []


def test_serve_starts_before_redis_does() -> None:
    with servers.start("valkey") as server:
        server.stop()
        port = free_port()
        with Program("serve", REDIS_URL=server.url, PORT=str(port)) as program:

            def healthy() -> bool:
                try:
                    return get(f"http://127.0.0.1:{port}/health")[0] == 200
                except OSError:
                    return False

            program.until(healthy, "a live service")
            server.start()

            def loaded() -> bool:
                with server.sync_client() as client:
                    try:
                        return bool(client.function_list("synckairos"))
                    except redis.RedisError:
                        return False

            program.until(loaded, "the library")
            assert program.end() == 0
