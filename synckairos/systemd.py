"""What a program tells systemd, which starts it with `Type=notify`: it is ready, reloads, ends, or lives.

Each is one datagram to the socket in `NOTIFY_SOCKET` (sd_notify(3)). Where that is not set, nobody listens
and nothing is sent. A message that cannot be sent is logged: systemd then acts as if the program hung.
"""

from __future__ import annotations

import os
import socket
import time

import structlog

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SEND_S = 1.0
"""How long a message may take to send."""


def ready(status: str) -> None:
    """The program does its work, or does it again after `reloading`. `systemctl status` shows `status`."""
    _send(f"READY=1\nSTATUS={status}")


def reloading() -> None:
    """The program takes its settings or its code in anew. It goes on, and says `ready` afterwards."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    """The program has begun to end."""
    _send("STOPPING=1\nSTATUS=ending")


class Watchdog:
    """Says that the program lives, twice in each interval that systemd allows (`WatchdogSec`)."""

    def __init__(self) -> None:
        asked = os.environ.get("WATCHDOG_USEC", "")
        is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every_s = int(asked) / 2e6 if asked.isdecimal() and is_ours else 0.0
        self._next = 0.0

    def beat(self) -> None:
        """To be called again and again, in the loop whose standstill is to be noticed."""
        if self._every_s and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every_s
            _send("WATCHDOG=1")


def _send(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # a name that is in no file system
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.settimeout(SEND_S)
            notified.connect(address)
            notified.sendall(message.encode())
    except OSError as error:
        log.warning("systemd could not be told", message=message, reason=str(error))
