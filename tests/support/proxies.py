"""nginx and HAProxy with the configurations in `deploy/`, in front of services of a test.

    with nginx(tmp_path / "nginx", {"a": port_of_a, "b": port_of_b}) as proxy:
        httpx.get(f"{proxy.url}/ready", verify=proxy.tls)
        proxy.take_out("a")  # as before a rolling update
        proxy.put_back("a")

Of the files that are shipped only addresses, accounts and places are changed; whatever should be there and is
not, fails.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from synckairos.run.processes import free_port
from tests.support.certificates import Authority
from tests.support.launching import launch
from tests.support.programs import ROOT

START_S = 20.0
END_S = 20.0


@dataclass
class Proxy:
    """A proxy that runs.

    port, plain: where it answers, with TLS and without
    tls: for clients, a context that trusts its certificate
    access_log: where nginx writes it down
    control: the socket of HAProxy's commands
    """

    port: int
    plain: int
    tls: ssl.SSLContext
    process: subprocess.Popen[bytes]
    log: Path
    set_out: Callable[[str, bool], None]
    access_log: Path | None = None
    control: Path | None = None

    @property
    def url(self) -> str:
        """Where it is for HTTP."""
        return f"https://localhost:{self.port}"

    def take_out(self, name: str) -> None:
        """No new request and no new socket goes to this server; what it has goes on."""
        self.set_out(name, True)

    def put_back(self, name: str) -> None:
        """Undoes `take_out`."""
        self.set_out(name, False)


@dataclass
class Fitted:
    """A configuration that fits a machine of tests.

    file: the main file
    authority: whom clients have to trust
    port, plain: where it listens, with TLS and without
    """

    file: Path
    authority: Authority
    port: int
    plain: int


Start = Callable[[Path, Mapping[str, int]], AbstractContextManager[Proxy]]


class NothingToReplace(Exception):
    """A configuration has no line that this pattern fits."""


def replaced(text: str, pattern: str, by: str) -> str:
    """The text with all that the pattern finds replaced. Raises NothingToReplace when it finds nothing."""
    changed, count = re.subn(pattern, lambda found: found.expand(by), text, flags=re.MULTILINE)
    if not count:
        raise NothingToReplace(pattern)
    return changed


def fitted_nginx(shipped: Path, folder: Path) -> Fitted:
    """Writes its main file for a machine of tests into `folder`, which is made."""
    folder.mkdir()
    authority = Authority(folder / "tls")
    plain, port = free_port(), free_port()
    text = (shipped / "nginx.conf").read_text()
    # As another user it could not write to a folder of the tests, and as nobody but root it cannot change.
    text = replaced(text, "^user .*$", "user root;" if os.geteuid() == 0 else "")
    text = replaced(text, r"/run/nginx\.pid", str(folder / "pid"))
    text = replaced(text, "/var/log/nginx/", f"{folder}/")
    text = replaced(text, r"/etc/nginx/tls/fullchain\.pem", str(authority.certificate))
    text = replaced(text, r"/etc/nginx/tls/privkey\.pem", str(authority.key))
    text = replaced(text, r"^ *listen \[::\].*$", "")
    text = replaced(text, "listen 80 ", f"listen 127.0.0.1:{plain} ")
    text = replaced(text, "listen 443 ", f"listen 127.0.0.1:{port} ")
    own = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    text = replaced(
        text, "^http {$", "http {" + "".join(f" {name}_temp_path {folder}/{name};" for name in own)
    )
    (folder / "nginx.conf").write_text(text)
    return Fitted(folder / "nginx.conf", authority, port, plain)


def fitted_haproxy(shipped: Path, folder: Path) -> Fitted:
    """Writes its file for a machine of tests into `folder`, which is made."""
    folder.mkdir()
    authority = Authority(folder / "tls")
    pem = folder / "tls/synckairos.pem"
    pem.write_bytes(authority.certificate.read_bytes() + authority.key.read_bytes())
    plain, port = free_port(), free_port()
    text = (shipped / "haproxy.cfg").read_text()
    text = replaced(text, r"^ *(user|group) haproxy$", "")
    text = replaced(text, "^ *maxconn .*$", "    maxconn 1000")  # more than that needs more open files
    text = replaced(text, "/dev/log", "stdout format raw")
    text = replaced(text, r"/run/haproxy/admin\.sock", str(folder / "admin.sock"))
    text = replaced(text, r"/etc/haproxy/tls/synckairos\.pem", str(pem))
    text = replaced(text, "bind :80$", f"bind 127.0.0.1:{plain}")
    text = replaced(text, "bind :443", f"bind 127.0.0.1:{port}")
    (folder / "haproxy.cfg").write_text(text)
    return Fitted(folder / "haproxy.cfg", authority, port, plain)


@contextmanager
def nginx(folder: Path, servers: Mapping[str, int], shipped: Path = ROOT / "deploy/nginx") -> Iterator[Proxy]:
    """nginx with its configuration in `folder`, which is made, and with these servers, by their ports."""
    fitted = fitted_nginx(shipped, folder)
    upstream = folder / "upstream.conf"

    def write(out: frozenset[str]) -> None:
        named = (shipped / "upstream.conf").read_text()
        line = next(line for line in named.splitlines() if line.strip().startswith("server "))
        lines = [
            replaced(line, r"\d+(\.\d+){3}:\d+", f"127.0.0.1:{port}").replace(
                ";", " down;" if name in out else ";"
            )
            for name, port in servers.items()
        ]
        upstream.write_text(replaced(named, r"(^ *server .*\n)+", "\n".join(lines) + "\n"))

    taken: set[str] = set()

    def set_out(name: str, out: bool) -> None:
        taken.symmetric_difference_update({name} if (name in taken) != out else ())
        write(frozenset(taken))
        before = _workers(process.pid)
        process.send_signal(signal.SIGHUP)
        _until(
            lambda: bool(_workers(process.pid) - before) and all(map(_shuts_down, before)),
            "the new workers of nginx",
            folder / "error.log",
        )

    write(frozenset())
    process = launch(
        ["nginx", "-p", str(folder), "-c", str(fitted.file), "-g", "daemon off;"],
        folder / "output",
        signal.SIGTERM,
    )
    try:
        _until(lambda: _answers(fitted.port, process), "nginx", folder / "output")
        yield Proxy(
            fitted.port,
            fitted.plain,
            ssl.create_default_context(cafile=fitted.authority.ca),
            process,
            folder / "error.log",
            set_out,
            folder / "access.log",
        )
    finally:
        _end(process)


@contextmanager
def haproxy(
    folder: Path, servers: Mapping[str, int], shipped: Path = ROOT / "deploy/haproxy"
) -> Iterator[Proxy]:
    """HAProxy with its configuration in `folder`, which is made, and with these servers, by their ports.

    Servers have the names that they have in the configuration: "a" and "b".
    """
    fitted = fitted_haproxy(shipped, folder)
    control = folder / "admin.sock"
    text = fitted.file.read_text()
    for name, behind in servers.items():
        text = replaced(text, rf"^( *server {name}) \S+", rf"\1 127.0.0.1:{behind}")
    fitted.file.write_text(text)
    process = launch(["haproxy", "-db", "-f", str(fitted.file)], folder / "output", signal.SIGTERM)

    def set_out(name: str, out: bool) -> None:
        server = f"set server ready/{name}"
        command = f"{server} state drain" if out else f"{server} state ready; {server} health up"
        said = ask_haproxy(control, command).strip()
        assert not said, said

    try:
        _until(lambda: _answers(fitted.port, process) and control.exists(), "HAProxy", folder / "output")
        yield Proxy(
            fitted.port,
            fitted.plain,
            ssl.create_default_context(cafile=fitted.authority.ca),
            process,
            folder / "output",
            set_out,
            control=control,
        )
    finally:
        _end(process)


def ask_haproxy(control: Path, command: str) -> str:
    """What HAProxy says to a command on its socket."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(START_S)
        asked.connect(str(control))
        asked.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: asked.recv(65536), b"")).decode()


PROXIES: dict[str, Start] = {"nginx": nginx, "haproxy": haproxy}
"""By name, for tests that run with both."""


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it has ended"
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _workers(parent: int) -> set[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return {int(number) for number in listed.split()}


def _shuts_down(worker: int) -> bool:
    """Whether a worker of nginx takes no connections any more."""
    try:
        return b"shutting down" in Path(f"/proc/{worker}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


def _until(condition: Callable[[], bool], what: str, log: Path) -> None:
    end = time.monotonic() + START_S
    try:
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}\n{log.read_text() if log.exists() else ''}") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
