"""A program: passes on, line by line, what comes on standard input, but for lines with one of its arguments.

It ends when all who write to it have ended, and ignores signals until then, so the last words of a server
that is ended, or dies, come through.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress


def pass_on(hidden: Sequence[bytes]) -> None:
    """Passes on lines until the end of the input, but for those with a `hidden` text."""
    for line in sys.stdin.buffer:
        if not any(text in line for text in hidden):
            with suppress(OSError):  # when nobody reads it any more, the server must not wait for a reader
                os.write(sys.stdout.fileno(), line)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pass_on([os.fsencode(text) for text in sys.argv[1:]])
