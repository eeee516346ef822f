"""The command `watch`: on a terminal a picture that follows the session, otherwise a line for each change.

With `--json` each line is a message as the service's WebSocket sends it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import signal
import sys
import termios
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from synckairos.client import Change, Session, State, SyncKairos, SyncKairosError
from synckairos.client.errors import ConnectionLost
from synckairos.client.model import synced
from synckairos.output import json_text, printable, redacted
from synckairos.watch import screen, words

FIRST_STATE_S = 5.0
"""How long the first state may take to come. After that the service may be away for any time."""
FASTEST_S = 0.06
"""The shortest time between two pictures."""
SHOWN_CHANGES = 200
EARLIER_CHANGES = 20
"""How many earlier changes are shown at the start, if the service still has them."""

_EVENT_STYLES = {
    "participant.expired": "red",
    "session.expired": "bold red",
    "session.deleted": "red",
    "time.warning": "yellow",
    "session.paused": "cyan",
    "session.resumed": "cyan",
    "session.reopened": "cyan",
    "session.reset": "cyan",
    "turn.taken_back": "cyan",
    "turn.set": "cyan",
}


_PAGE = re.compile(r"(https?://[^/]+)/s/([0-9A-Fa-f-]+)(?:[?#].*)?")


class Refused(click.ClickException):
    """The session cannot be watched: it does not exist, it is not allowed, or the service does not answer."""


@click.command()
@click.argument("session", metavar="SESSION")
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    envvar="SYNCKAIROS_URL",
    show_envvar=True,
    help="The service.",
)
@click.option(
    "--token",
    envvar="SYNCKAIROS_TOKEN",
    show_envvar=True,
    help="Your token, if the service asks for one. Everybody on this machine can read an option in "
    "the list of processes, but not the environment.",
)
@click.option(
    "--stay", is_flag=True, help="Go on when the session has ended: somebody may reopen or reset it."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object in a line for the state and for each change, for programs.",
)
def watch(session: str, url: str, token: str | None, stay: bool, as_json: bool) -> None:
    """Watch the clocks of SESSION, live, until it ends or Ctrl-C.

    SESSION is its id, or the address of its page in the console, which also says where the service is.

    Without a terminal, one line is printed for each change. The exit code is 0 when the session ended or
    Ctrl-C was pressed, 1 when there is no such session, it may not be watched, or the service is lost.
    """
    logging.getLogger().setLevel(logging.CRITICAL)  # a log line would break the picture
    if page := _PAGE.fullmatch(session):
        url, session = page.groups()
    with suppress(KeyboardInterrupt):
        asyncio.run(_watch(session, url, token, stay=stay, as_json=as_json))


async def _watch(session_id: str, url: str, token: str | None, *, stay: bool, as_json: bool) -> None:
    # SIGTERM has to end it like Ctrl-C, so that the terminal is restored.
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    console = Console(highlight=False)
    try:
        async with _following(session_id, url, token, stay=stay) as watcher:
            if as_json:
                await watcher.print(_state_message, _change_message)
            elif console.is_terminal and not console.is_dumb_terminal:
                await watcher.draw(console)
            else:
                await watcher.print(_state_line, _change_line)
    except SyncKairosError as error:
        raise Refused(_reason(error, session_id, url)) from None
    except asyncio.CancelledError:
        return
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@asynccontextmanager
async def _following(session_id: str, url: str, token: str | None, *, stay: bool) -> AsyncIterator[_Watcher]:
    """Follow the session. The block begins with its first state. Raises SyncKairosError, Refused."""
    try:
        client = SyncKairos(url, token, reconnect_attempts=math.inf)
    except ValueError as error:
        raise Refused(f"{url} is no address of a service: {error}") from None
    async with client:
        session = client.session(session_id)
        watcher = _Watcher(client, session, stay=stay)
        try:
            async with asyncio.timeout(FIRST_STATE_S):
                await session.ready()
        except TimeoutError:
            raise ConnectionLost from None
        yield watcher


def _reason(error: SyncKairosError, session_id: str, url: str) -> str:
    match error.code:
        case "SESSION_NOT_FOUND":
            # A session that has moved to another Redis is not found either, and the message says where it is.
            where = f": {error.message}" if "session is at" in error.message else ""
            return f"there is no session {session_id} at {url}{where}"
        case "CONNECTION_LOST":
            return f"no service answers at {url}; is it running? (`synckairos doctor` says what is missing)"
        case "UNAUTHENTICATED" | "FORBIDDEN":
            return f"{url} does not let you watch this session: {error.message}; use --token for your token"
    return f"{error.message} ({error.code})"


@contextmanager
def _silent_keys() -> Iterator[None]:
    """Do not echo keys into the picture. Ctrl-C still works."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = list(before)
    silent[_LOCAL_FLAGS] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)


_LOCAL_FLAGS = 3
"""The position of the local flags in the list of termios.tcgetattr."""


class _Watcher:
    """Shows a session, as lines or as a picture. stay: also after its end, until it is deleted."""

    def __init__(self, client: SyncKairos, session: Session, *, stay: bool) -> None:
        self._stay = stay
        self._trouble = ""
        self._skew = ""
        self._client = client
        self._session = session
        self._changes: deque[Text] = deque(maxlen=SHOWN_CHANGES)
        self._last: Change | None = None
        """The newest change that was told."""
        self._wake = asyncio.Event()
        session.on_change(lambda *_: self._wake.set())
        session.on_connection(self._connected)
        session.on_error(self._failed)
        client.time.on_change(lambda _: self._wake.set())

    async def print(
        self, say_state: Callable[[State], str], say_change: Callable[[Change, State, Change], str]
    ) -> None:
        """Print a line for the state, and one for each change, until the session has ended.

        say_change: gets the change, the state now, and the change before it
        """
        session = self._session
        state = session.state
        click.echo(say_state(state))
        if state.is_over and not self._stay:
            return
        last = synced(state)
        async for change in session.changes():
            click.echo(say_change(change, session.state, last))
            last = change
            if self._is_end(change):
                return

    async def draw(self, console: Console) -> None:
        """Draw the picture, and draw it again whenever it is outdated, until the session has ended."""
        if self._session.state.is_over and not self._stay:
            await self._earlier()
            console.print(screen.summary(self._view(), console.width))
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._wake.set)
        news = asyncio.create_task(self._follow())
        try:
            with _silent_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
                while not news.done():
                    self._wake.clear()
                    picture, right_for_ms = screen.draw(self._view(), *console.size)
                    live.update(picture, refresh=True)
                    drawn = loop.time()
                    pause = None if math.isinf(right_for_ms) else max(FASTEST_S, right_for_ms / 1000)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wake.wait()
                    await asyncio.sleep(drawn + FASTEST_S - loop.time())
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
            news.cancel()
            # The picture disappears with its screen, so a summary is printed that people can still read.
            console.print(screen.summary(self._view(), console.width))
        news.result()

    async def _follow(self) -> None:
        """Collect the changes until the session has ended."""
        session = self._session
        changes = session.changes()
        try:
            if session.state.is_over and not self._stay:  # it may have ended since the check in `draw`
                return
            await self._earlier()
            async for change in changes:
                self._append(change)
                if self._is_end(change):
                    return
        finally:
            self._wake.set()

    async def _earlier(self) -> None:
        """Read the last changes before the start."""
        state = self._session.state
        with suppress(SyncKairosError, TimeoutError):
            async with asyncio.timeout(FIRST_STATE_S):
                for change in await self._session.events(max(0, state.version - EARLIER_CHANGES)):
                    if change.version <= state.version:
                        self._append(change)

    def _append(self, change: Change) -> None:
        said = words.event(change, self._session.state, self._last)
        self._last = change
        line = Text(f"{words.moment(change.server_time_ms)}  ", "dim")
        self._changes.append(line.append(said, _EVENT_STYLES.get(change.event, "not dim")))
        self._wake.set()

    def _is_end(self, change: Change) -> bool:
        """Whether this is the last change to show."""
        over = () if self._stay else ("expired", "completed", "cancelled")
        return change.event == "session.deleted" or change.payload.status in over

    def _view(self) -> screen.View:
        time = self._client.time
        return screen.View(
            state=self._session.state,
            clocks=self._session,
            connection=self._session.connection,
            stale_ms=self._session.stale_ms,
            now_ms=time.now_ms(),
            uncertainty_ms=time.uncertainty_ms,
            changes=list(self._changes),
            notice=self._skew or self._trouble,
        )

    def _connected(self, connection: str) -> None:
        if connection == "live":
            self._trouble = ""
        self._wake.set()

    def _failed(self, error: SyncKairosError) -> None:
        if error.code.startswith("CLOCK_SKEW"):
            self._skew = error.message
        else:
            self._trouble = error.message
        self._wake.set()


def _state_line(state: State) -> str:
    """A state as one line, for logs."""
    status = words.STATUSES.get(state.status, state.status)
    return _line(state.server_time_ms, state.version, f"{words.title(state)}: {status}")


def _change_line(change: Change, state: State, before: Change) -> str:
    """A change as one line, for logs. before: the change before it."""
    left = change.payload.time_remaining_ms
    time_left = (
        f" [{words.clock(left)} left]" if left is not None and change.payload.status == "running" else ""
    )
    said = words.event(change, state, before)
    return _line(change.server_time_ms, change.version, f"{change.event}: {said}{time_left}")


def _state_message(state: State) -> str:
    """A state as the service's message of it."""
    message = {
        "v": 1,
        "type": "STATE_SYNC",
        "session_id": state.session_id,
        "version": state.version,
        "epoch": state.epoch,
        "server_time_ms": state.server_time_ms,
        "payload": {"full_state": state},
    }
    return json_text(msgspec.json.encode(message).decode())


def _change_message(change: Change, state: State, _before: Change) -> str:
    """A change as the service's message of it. For changes that were missed, it is that of the state."""
    if change.type == "STATE_SYNC":
        return _state_message(state)
    return json_text(msgspec.json.encode({"v": 1, **msgspec.structs.asdict(change)}).decode())


def _line(at_ms: int, version: int, text: str) -> str:
    return redacted(printable(f"{words.instant(at_ms)}  {version:>4}  {text}"))
