"""The command `synckairos` on a terminal of its own: the pictures it draws, and its exit code."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

from tests.support.programs import COMMAND, ENVIRON, START_S

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HOME = "\x1b[H"


def own_terminal() -> None:
    """Makes standard input the controlling terminal, so that Ctrl-C on it is a signal to this process.

    Its end is one, too, also where the tests run under `nohup`.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command whose standard streams are a terminal of a given size."""

    def __init__(
        self, *arguments: str, columns: int = 80, rows: int = 24, environ: Mapping[str, str] | None = None
    ) -> None:
        self._parent, child = pty.openpty()
        self.resize(columns, rows, tell=False)
        kept = {name: value for name, value in ENVIRON.items() if name != "NO_COLOR"}
        self._said = b""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**kept, "TERM": "xterm", **(environ or {})},
            start_new_session=True,
            preexec_fn=own_terminal,  # noqa: PLW1509 - it calls ioctl and nothing else
            stdin=child,
            stdout=child,
            stderr=child,
        )
        os.close(child)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the program has ended and closed its end
            while part := os.read(self._parent, 65536):
                self._said += part

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        """Change the terminal's size, as when a window is resized."""
        fcntl.ioctl(self._parent, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._parent, keys.encode())

    @property
    def raw(self) -> str:
        """All output as it was written."""
        return self._said.decode(errors="replace")

    @property
    def text(self) -> str:
        """All output without escape sequences."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    @property
    def picture(self) -> str:
        """The last picture, which begins in the upper left corner."""
        return _ESCAPES.sub("", self.raw.rpartition(_HOME)[2]).replace("\r\n", "\n")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for a condition. If it does not come true, fails with `what` and the picture."""
        end = time.monotonic() + START_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}:\n{self.picture}"
            time.sleep(0.02)

    def shows(self, *words: str) -> None:
        """Waits until all of these words are in the picture."""
        self.until(lambda: all(word in self.picture for word in words), " and ".join(words))

    def ended(self) -> int:
        """Waits for the end and for all output. Returns the exit code."""
        code = self.process.wait(START_S)
        self._reader.join(START_S)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(START_S)
        os.close(self._parent)
