"""The yardstick of the HTTP bench: a Sanic application whose `POST /` does nothing, run like the service."""

from __future__ import annotations

import socket
import sys

from sanic import Request, Sanic
from sanic.response import JSONResponse, json


async def nothing(_: Request) -> JSONResponse:
    """Answers every request with the same small body."""
    return json({"data": None})


def main() -> None:
    """Answers on an inherited socket. The only argument is its file descriptor."""
    app = Sanic("noop", configure_logging=False)
    app.add_route(nothing, "/", methods=["POST"])
    app.run(sock=socket.socket(fileno=int(sys.argv[1])), single_process=True, motd=False, access_log=False)


if __name__ == "__main__":
    main()
