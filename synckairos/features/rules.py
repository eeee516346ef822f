"""What a features file may say, and what it means for a session.

    features:
      session_schema_2:
        enabled: true
        rollout: {strategy: percentage, percentage: 10, whitelist: [chess-club], blacklist: [quiz-night]}

A decision depends on the file, the feature's name, the session's id and its tenant, and on nothing else. So
every process decides the same at any time, and a session that is in at 10 % stays in at 25 %.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openfeature.flag_evaluation import Reason

from synckairos.config import SettingsError, read_yaml
from synckairos.watched_files import part

Strategy = Literal["all", "percentage", "tenant"]

STRATEGIES: tuple[Strategy, ...] = ("all", "percentage", "tenant")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FEATURE = ("enabled", "rollout")
_ROLLOUT = ("strategy", "percentage", "tenants", "whitelist", "blacklist")
_LONGEST_WORD = 255


@dataclass(frozen=True, slots=True)
class Feature:
    """For which sessions a feature is on. Until it is `enabled` that is none.

    percentage: of all sessions, 0 to 100, for the strategy of that name
    tenants: whose sessions, for the strategy `tenant`
    whitelist, blacklist: ids of sessions and names of tenants. Who is in the blacklist is out; who is in the
        whitelist alone is in, whatever the strategy says.
    """

    enabled: bool
    strategy: Strategy = "all"
    percentage: float = 0.0
    tenants: frozenset[str] = frozenset()
    whitelist: frozenset[str] = frozenset()
    blacklist: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a feature is on for a session. `why` is for people, `reason` is OpenFeature's word for it."""

    on: bool
    why: str
    reason: Reason


def decide(name: str, feature: Feature, session_id: str, tenant: str | None = None) -> Decision:
    """Whether a feature is on for a session of a tenant."""
    if not feature.enabled:
        return Decision(on=False, why="it is not enabled", reason=Reason.DISABLED)
    for word, kind in ((session_id, "session"), (tenant, "tenant")):
        if word in feature.blacklist:
            return Decision(on=False, why=f"the {kind} is in the blacklist", reason=Reason.TARGETING_MATCH)
    for word, kind in ((session_id, "session"), (tenant, "tenant")):
        if word in feature.whitelist:
            return Decision(on=True, why=f"the {kind} is in the whitelist", reason=Reason.TARGETING_MATCH)
    if feature.strategy == "all":
        return Decision(on=True, why="it is on for all", reason=Reason.STATIC)
    if feature.strategy == "tenant":
        found = tenant in feature.tenants
        why = f"the tenant is {'one' if found else 'none'} of its tenants"
        return Decision(on=found, why=why, reason=Reason.TARGETING_MATCH)
    place = place_of(name, session_id)
    return Decision(
        on=place < feature.percentage,
        why=f"the session's place is {place:.4f} %, and it is on below {feature.percentage:g} %",
        reason=Reason.SPLIT,
    )


def place_of(name: str, session_id: str) -> float:
    """The place of a session among all sessions, in percent: from 0 to less than 100.

    It is a hash of the feature's name and the session's id, so each feature has another tenth of sessions.
    """
    digest = hashlib.sha256(f"{name}\n{session_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 100 / 2**53


def read(path: Path) -> dict[str, Feature]:
    """The features of a file by name. Raises SettingsError, which names all that is wrong."""
    shown = f"FEATURES_FILE ({path})"
    problems: list[str] = []
    listed = part(read_yaml(path, shown), ("features",), "", problems).get("features")
    features: dict[str, Feature] = {}
    if listed is not None and not isinstance(listed, dict):
        problems.append("features must be a map of names")
    elif listed:
        for name, entry in listed.items():
            if not isinstance(name, str) or _NAME.fullmatch(name) is None:
                problems.append(
                    f"features.{name} must have a name of 1 to 100 letters, digits, '_', '.' and '-'"
                )
            else:
                features[name] = _feature(entry, f"features.{name}", problems)
    if problems:
        raise SettingsError([f"{shown}: {problem}" for problem in problems])
    return features


def _feature(given: Any, path: str, problems: list[str]) -> Feature:
    entry = part(given, _FEATURE, path, problems)
    enabled = entry.get("enabled")
    if not isinstance(enabled, bool):
        problems.append(f"{path}.enabled must be true or false")
        enabled = False
    path = f"{path}.rollout"
    rollout = part(entry.get("rollout"), _ROLLOUT, path, problems)
    if not rollout:
        return Feature(enabled)
    given_strategy = rollout.get("strategy")
    strategy: Strategy = "all"
    if given_strategy in STRATEGIES:
        strategy = given_strategy
    else:
        problems.append(f"{path}.strategy must be one of {', '.join(STRATEGIES)}")
    percentage = _percentage(rollout, path, problems)
    if strategy == "percentage" and "percentage" not in rollout:
        problems.append(f"{path}.percentage is required with the strategy percentage")
    tenants = _words(rollout, "tenants", path, problems)
    if strategy == "tenant" and "tenants" not in rollout:
        problems.append(f"{path}.tenants is required with the strategy tenant")
    return Feature(
        enabled,
        strategy,
        percentage,
        tenants,
        _words(rollout, "whitelist", path, problems),
        _words(rollout, "blacklist", path, problems),
    )


def _percentage(rollout: Mapping[str, Any], path: str, problems: list[str]) -> float:
    given = rollout.get("percentage", 0)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 100:
        problems.append(f"{path}.percentage must be a number from 0 to 100")
        return 0.0
    return float(given)


def _words(rollout: Mapping[str, Any], name: str, path: str, problems: list[str]) -> frozenset[str]:
    given = rollout.get(name, [])
    if not isinstance(given, list) or not all(
        isinstance(word, str) and 1 <= len(word) <= _LONGEST_WORD for word in given
    ):
        problems.append(
            f"{path}.{name} must be a list of texts of 1 to {_LONGEST_WORD} characters (numbers in quotes)"
        )
        return frozenset()
    return frozenset(given)
