"""The functions of the library and what they take, read from the comments above their code.

Each comment in `lua/functions` begins with the call: `-- sk_turn 4 <keys> <participant id> [options]`. So a
function that is added to the library is found here without a list of its own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synckairos.core.keys import SessionKeys, quota, rate_limit, session_id
from synckairos.core.library import Library

_COMMENT = re.compile(r"^-- (sk_\w+) (\d)((?:.*\n--   .*)*.*)\n((?:--.*\n)*)", re.MULTILINE)
_SESSION = "SESSION"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the library.

    keys: how many keys it takes
    subject: what its keys are made from: SESSION, BUCKET or TENANT; empty without keys
    arguments: what comes behind the keys, as in `[NEXT pid] [options]`; may be empty
    text: what it does, its arguments, its reply and its refusals, in lines
    """

    name: str
    keys: int
    subject: str
    arguments: str
    text: str

    def keys_of(self, subject: str) -> tuple[str, ...]:
        """Its keys. Raises ValidationError for a SESSION that is no id."""
        return _KEYS[self.subject](subject)[: self.keys] if self.subject else ()

    @property
    def call(self) -> str:
        """How it is called: `sk_turn SESSION <participant id> [options]`."""
        return " ".join(filter(None, (self.name, self.subject, self.arguments)))

    @property
    def summary(self) -> str:
        """Its first sentence, or in place of one its first line."""
        first = " ".join(self.text.partition("\n\n")[0].split())
        return re.split(r"(?<=\.) ", first)[0]


def _keys_of_session(subject: str) -> tuple[str, ...]:
    return SessionKeys.of(session_id(subject)).all


_KEYS: Mapping[str, Callable[[str], tuple[str, ...]]] = {
    _SESSION: _keys_of_session,
    "BUCKET": lambda subject: (rate_limit(subject),),
    "TENANT": quota,
}
_SUBJECTS = {"<bucket>": "BUCKET", "<tenant>": "TENANT"}
"""What keys that are written out are made from, if it is no session."""


def unknown(name: str) -> Function:
    """A function that only the server may know: it takes the four keys of a session, as most do."""
    return Function(name, 4, _SESSION, "[arguments]", "")


@functools.cache
def functions() -> Mapping[str, Function]:
    """All functions of this release's library, by name, in the order of its code."""
    found = (_function(*match.groups()) for match in _COMMENT.finditer(Library.assemble().payload))
    return {each.name: each for each in found}


def _function(name: str, number: str, call: str, text: str) -> Function:
    count = int(number)
    words = " ".join(part.removeprefix("--").strip() for part in call.splitlines()).split()
    given = words[:1] if words[:1] == ["<keys>"] else words[:count]
    subject = next((word for sign, word in _SUBJECTS.items() if any(sign in key for key in given)), _SESSION)
    lines = [line.removeprefix("--").removeprefix(" ") for line in text.splitlines()]
    shown = [line for line in lines if not line.startswith("KEYS")]
    return Function(
        name,
        count,
        subject if count else "",
        " ".join(words[len(given) :]),
        "\n".join(shown).strip("\n"),
    )
