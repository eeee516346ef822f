"""A program that copies standard input to standard output, without lines that contain one of its arguments.

It ends at the end of its input, when the server that writes to it has ended, and ignores signals until then.
So the last lines of a server that is ended, or dies, are shown.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress


def pass_on(hidden: Sequence[bytes]) -> None:
    """Copies lines until the end of the input, but for those that contain a `hidden` text."""
    for line in sys.stdin.buffer:
        if not any(text in line for text in hidden):
            with suppress(OSError):  # when its reader has gone, the server must not be held up
                os.write(sys.stdout.fileno(), line)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pass_on([os.fsencode(text) for text in sys.argv[1:]])
