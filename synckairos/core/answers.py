"""What Sentinels say of their primary, and what follows from it.

An answer has a configuration epoch, which grows with every failover that a majority has agreed on. So the
answer with the highest epoch counts, whichever Sentinel gives it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from synckairos.config import Address

UNHEARD_MS = 2000
"""A Sentinel pings the primary once a second. When most of them had no answer for this long, the primary may
be cut off from them, and then another one is named within seconds."""
FRESH_S = 3.0
"""An answer that is older says nothing any more."""
LASTING_S = 10.0
"""A majority that has had a lower epoch than is known for this long was made anew, and is believed."""

UNKNOWN_NAME = "No such master"
"""What a Sentinel answers about a primary that it does not watch."""
_DOWN = frozenset({"s_down", "o_down"})
"""The flags of a server that does not answer a Sentinel, or a quorum of them."""
_REPLACING = "failover_in_progress"
"""The flag of a primary in whose place a Sentinel is putting another one."""
_NEVER_LOOKED_AT = "?"
"""The primary of a replica that the Sentinel has had no `INFO` from since the last failover.

It is not chosen until then. So the old primary, when it is dead or cut off, does not have to confirm changes
in the seconds until the Sentinels find it down.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one Sentinel said.

    at: when (monotonic seconds)
    epoch: the configuration epoch of the primary
    down: whether the primary does not answer this Sentinel
    unheard: whether it has not answered for UNHEARD_MS
    electable: the replicas that work. One with the priority 0 is not chosen, but WAIT counts it like the
        others, so it has to be among those that confirm.
    replacing: whether this Sentinel is about to name another primary, also when somebody asked it to
    quorum: how many Sentinels have to agree that the primary is down
    """

    at: float
    primary: Address
    epoch: int
    down: bool
    unheard: bool
    electable: frozenset[Address]
    replacing: bool = False
    quorum: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """How well a primary is watched.

    name: of the primary, as the Sentinels know it
    answering: how many Sentinels have answered lately
    needed: how many should, so that one more may fail: their quorum and one; 0 while it is not known
    """

    name: str
    answering: int
    needed: int


@dataclass(frozen=True, slots=True)
class View:
    """What the Sentinels say together.

    primary: None while no Sentinel has answered
    down: whether the primary does not answer most of the Sentinels, and no other one is named yet
    unheard: whether most of the Sentinels have not heard from it lately
    electable: the replicas that at least one of the Sentinels may choose as the next primary
    replacing: whether at least one of the Sentinels is about to name another primary
    majority: whether most of the Sentinels have lately named this primary, with this epoch
    heard_at: of the newest answers that make up the majority, when the oldest came (monotonic seconds)
    known: whether a majority has ever been heard, so that `electable` has all that may be chosen
    lower_since: since when all answers have had a lower epoch than is known (monotonic seconds)
    """

    primary: Address | None = None
    epoch: int = -1
    down: bool = False
    unheard: bool = False
    electable: frozenset[Address] = frozenset()
    replacing: bool = False
    majority: bool = False
    heard_at: float = field(default=-math.inf, compare=False)
    known: bool = False
    lower_since: float | None = field(default=None, compare=False)

    def stands(self, now: float) -> bool:
        """Whether most of the Sentinels stand behind the primary: it is not cut off, and none replaces it."""
        doubtful = self.down or self.unheard or self.replacing
        return self.majority and not doubtful and now - self.heard_at <= FRESH_S

    def nobody_else(self, now: float) -> bool:
        """Whether moreover no replica can take the primary's place."""
        return self.stands(now) and not self.electable


def questions(name: str) -> list[tuple[str, str, str]]:
    """The commands that a Sentinel is asked for an answer.

    The first one names the new primary as soon as it is promoted; the second one has its epoch by then, but
    still the address of the old one.
    """
    return [("SENTINEL", about, name) for about in ("GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS")]


def answer(name: str, replies: Sequence[Any], at: float) -> Answer:
    """What a Sentinel said. Raises redis.ConnectionError when it does not know the primary.

    replies: those to `questions`, as bytes
    at: when (monotonic seconds)
    """
    named, primary, replicas = replies
    if named is None:
        raise redis.ConnectionError(f"{UNKNOWN_NAME}: {name}")
    about = _fields(primary)
    address = named[0].decode(), int(named[1])
    return Answer(
        at,
        address,
        int(about["config-epoch"]),
        bool(_DOWN & _flags(about)),
        int(about.get("last-ok-ping-reply", 0)) > UNHEARD_MS,
        frozenset(
            (replica["ip"], int(replica["port"]))
            for replica in map(_fields, replicas)
            if not {*_DOWN, "disconnected"} & _flags(replica)
            and replica.get("master-host") != _NEVER_LOOKED_AT
        ),
        # Once the new one is named, the flag is still at the old one, until the other replicas follow.
        _REPLACING in _flags(about) and address == (about["ip"], int(about["port"])),
        int(about.get("quorum", 0)),
    )


def watch(name: str, answers: Iterable[Answer], now: float) -> Watch:
    """How well the primary is watched, by the newest answer of each Sentinel. `now`: monotonic seconds."""
    known = list(answers)
    quorum = max((answer.quorum for answer in known), default=0)
    answering = sum(now - answer.at <= FRESH_S for answer in known)
    return Watch(name, answering, quorum + 1 if quorum else 0)


def judge(before: View, answers: Iterable[Answer], sentinels: int, now: float) -> View:
    """The view that follows from the newest answer of each Sentinel.

    A Sentinel that missed a failover still names the old primary, with a lower epoch than is known, and is
    not believed. Only when all of the Sentinels have a lower epoch, or most of them for a while, was their
    configuration made anew. Without a majority the replicas that it may choose are still those that were
    known before, because this process may be cut off together with the primary. They also are while one of
    the Sentinels replaces the primary: it breaks all connections to the replica that it promotes, its own
    too, so that this one looks as if it could not be chosen.

    sentinels: how many there are
    now: monotonic seconds
    """
    fresh = [answer for answer in answers if now - answer.at <= FRESH_S]
    kept = replace(before, down=False, unheard=False, replacing=False, majority=False, lower_since=None)
    if not fresh:
        return kept
    epoch = max(answer.epoch for answer in fresh)
    if epoch < before.epoch and len(fresh) < sentinels:
        since = now if before.lower_since is None else before.lower_since
        if 2 * len(fresh) <= sentinels or now - since < LASTING_S:
            return replace(kept, lower_since=since)
    named = Counter(answer.primary for answer in fresh if answer.epoch == epoch)
    primary, _ = named.most_common(1)[0]
    about = [answer for answer in fresh if answer.primary == primary]
    heard = sorted((answer.at for answer in about if answer.epoch == epoch), reverse=True)
    majority = 2 * len(heard) > sentinels
    electable = frozenset[Address]().union(*(answer.electable for answer in about))
    replacing = any(answer.replacing for answer in about)
    if primary == before.primary and (replacing or not majority):
        electable |= before.electable
    return View(
        primary,
        epoch,
        down=2 * sum(answer.down for answer in about) > sentinels,
        unheard=2 * sum(answer.unheard for answer in about) > sentinels,
        # The Sentinel that leads a failover lists the new primary among the replicas until it is done.
        electable=electable - {primary},
        replacing=replacing,
        majority=majority,
        heard_at=heard[sentinels // 2] if majority else -math.inf,
        known=before.known or majority,
    )


def _fields(reply: list[bytes]) -> dict[str, str]:
    """The flat list of names and values that a Sentinel tells of a server."""
    texts = [each.decode() for each in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _flags(server: dict[str, str]) -> set[str]:
    return set(server["flags"].split(","))
