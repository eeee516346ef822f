"""What the check of a history can find."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "lost",
    "doubled",
    "done though refused",
    "gap",
    "rewritten",
    "older epoch",
    "clock step",
    "sum",
    "deadline",
    "expired twice",
    "overdue",
    "state",
    "phantom",
    "told gap",
    "told twice",
    "told backwards",
]

MEANING: dict[Kind, str] = {
    "lost": "a change was acknowledged, and did not happen",
    "doubled": "one request took effect twice, or one event was written twice",
    "done though refused": "a request was refused, and took effect",
    "gap": "a version is missing",
    "rewritten": "one version of one epoch was given to two different changes",
    "older epoch": "an older epoch went on after a newer one had begun",
    "clock step": "time ran backwards inside a session",
    "sum": "charged + left - credited is not the bank",
    "deadline": "a deadline is not when the time that was left is over",
    "expired twice": "one deadline expired twice",
    "overdue": "what was due long ago has not been carried out: an expiry, a start, an end, a resume",
    "state": "the session's state is not what its events lead to",
    "phantom": "a socket was told what did not happen",
    "told gap": "a socket missed a version, and got no state instead",
    "told twice": "a socket was told one version twice",
    "told backwards": "a socket was told an older version or epoch than it knew",
}


class Finding(msgspec.Struct, frozen=True):
    """Something that must not happen: in which session, at which version of which epoch, and the details."""

    kind: Kind
    session_id: str
    epoch: int
    version: int
    text: str
