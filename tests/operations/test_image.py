"""The steps of the Dockerfile, taken one by one in a folder, as there is no Docker to take them.

What is not run: the image of Python itself, and its user. Packages that are installed here already are found
and not installed again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from synckairos.run.processes import free_port
from tests.support.programs import ROOT, Program, get
from tests.support.servers import Server

FILE = ROOT / "deploy/docker/Dockerfile"
SECRET = "a secret that is only used in this test of images"


def steps() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments, each on one line."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_what_is_built_serves_and_is_healthy(redis: Server, tmp_path: Path) -> None:
    source, made = tmp_path / "source", tmp_path / "opt/synckairos"
    source.mkdir()
    found = steps()
    stages = [number for number, (word, _) in enumerate(found) if word == "FROM"]
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for word, rest in found[stages[0] : stages[1]]:
        if word == "ENV":
            environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "COPY":
            *names, target = rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(
                        ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    (source / target).mkdir(exist_ok=True)
                    shutil.copy(ROOT / name, source / target)
        elif word == "RUN":
            step = subprocess.run(
                ["sh", "-ec", rest.replace("/opt/synckairos", str(made))],
                cwd=source,
                env=environ,
                check=False,
                capture_output=True,
                text=True,
            )
            assert step.returncode == 0, f"{rest}\n{step.stdout}\n{step.stderr}"
            (packages,) = made.glob("lib/python*/site-packages")
            (packages / "here.pth").write_text(sysconfig.get_path("purelib"))
    (program,) = made.glob("bin/synckairos")
    assert not list(made.glob("bin/pip*"))
    said = subprocess.run(
        [program.with_name("python"), "-P", "-c", "import synckairos; print(synckairos.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert said.stdout.startswith(str(made))
    last = dict(found[stages[1] :])
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["synckairos"]', '["serve"]')
    check = re.sub(r"^.*?CMD ", "", last["HEALTHCHECK"])
    port = free_port()
    given = {"REDIS_URL": redis.url, "PORT": str(port), "AUTH_MODE": "jwt", "JWT_SECRET": SECRET}
    healthy = [str(program.with_name("python")), *eval(check)[1:]]
    with Program("serve", command=[str(program)], HOST="0.0.0.0", **given) as running:
        assert subprocess.run(healthy, env={"PORT": str(free_port())}, check=False).returncode != 0
        running.until(lambda: "listening" in "".join(running.errors), "the service")
        assert subprocess.run(healthy, env={"PORT": str(port)}, check=False).returncode == 0
        assert get(f"http://127.0.0.1:{port}/ready")[0] == 200
