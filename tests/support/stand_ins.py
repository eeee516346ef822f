"""The parts of redis-cli and curl that the documentation's examples need, for machines without them.

`python stand_ins.py redis-cli -u URL --raw [-x] COMMAND [ARGUMENT ...]`
`python stand_ins.py curl -s [-X METHOD] [--json BODY] URL`
"""

from __future__ import annotations

import argparse
import socket
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import hiredis

Arguments = list[str]


def redis_cli(arguments: Arguments) -> None:
    """Sends one command and prints the reply as `redis-cli --raw` does."""
    parser = argparse.ArgumentParser(prog="redis-cli")
    parser.add_argument("-u", dest="url", required=True)
    parser.add_argument("--raw", action="store_true", required=True)
    parser.add_argument("-x", dest="last_from_stdin", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    command = given.command + ([sys.stdin.read()] if given.last_from_stdin else [])
    url = urlsplit(given.url)
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(hiredis.pack_command(tuple(command)))
        listens = command[0].upper() == "SSUBSCRIBE"
        reader = hiredis.Reader(encoding="utf-8", notEnoughData=Ellipsis)
        while received := connection.recv(65_536):
            reader.feed(received)
            while (reply := reader.gets()) is not Ellipsis:
                sys.stdout.write(_raw(reply) + "\n")
                sys.stdout.flush()
                if not listens:
                    return


def _raw(reply: Any) -> str:
    if isinstance(reply, list):
        return "\n".join(_raw(item) for item in reply)
    if isinstance(reply, hiredis.ReplyError):
        return f"{reply}\n"
    return "" if reply is None else str(reply)


def curl(arguments: Arguments) -> None:
    """Makes one request and prints the body of the reply."""
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-s", action="store_true", required=True)
    parser.add_argument("-X", dest="method")
    parser.add_argument("--json")
    parser.add_argument("url")
    given = parser.parse_args(arguments)
    body = given.json.encode() if given.json is not None else None
    method = given.method or ("GET" if body is None else "POST")
    request = urllib.request.Request(given.url, body, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            sys.stdout.write(reply.read().decode())
    except urllib.error.HTTPError as refusal:
        sys.stdout.write(refusal.read().decode())


if __name__ == "__main__":
    {"redis-cli": redis_cli, "curl": curl}[sys.argv[1]](sys.argv[2:])
