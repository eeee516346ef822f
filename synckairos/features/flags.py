"""The features of a process: what is on for a session, by the file as it is now."""

from __future__ import annotations

import difflib
import itertools
from pathlib import Path

import structlog
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from synckairos import metrics
from synckairos.features import rules
from synckairos.features.provider import FileProvider
from synckairos.features.rules import Feature
from synckairos.watched_files import WatchedFile

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SESSION_SCHEMA_2 = "session_schema_2"
KNOWN = {SESSION_SCHEMA_2: "its sessions are stored in schema 2 instead of 1"}
"""The features that this release asks for, and what each does where it is on."""

_MOST_REMEMBERED = 50_000
"""Answers, each some 250 bytes. When there are so many, all of them are forgotten."""
_domains = itertools.count()


class Features:
    """What is on. Without a file, nothing is, and nobody is asked to change anything.

    OpenFeature's SDK takes some 20 µs for an answer, about as long as a tenth of a request, so answers are
    remembered until the file changes.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Reads the file. Raises SettingsError."""
        self._file: WatchedFile[dict[str, Feature]] = WatchedFile(
            file, _read, {}, name="the features file", failed=metrics.features_reload_failures.inc
        )
        self._file.load()
        self._remembered: dict[tuple[str, str, str | None], bool] = {}
        self._remembered_of = self._file.value
        domain = f"synckairos-{next(_domains)}"  # one SDK in a process, which may have several services
        api.set_provider_and_wait(FileProvider(lambda: self._file.value), domain)
        self._client = api.get_client(domain)

    def is_on(self, name: str, session_id: str, tenant: str | None = None) -> bool:
        """Whether a feature is on for a session. One that the file does not name is off."""
        if name not in self._file.value:
            return False
        if self._remembered_of is not self._file.value or len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered, self._remembered_of = {}, self._file.value
        key = (name, session_id, tenant)
        known = self._remembered.get(key)
        if known is None:
            attributes = {} if tenant is None else {"tenant": tenant}
            context = EvaluationContext(session_id, attributes)
            known = self._client.get_boolean_value(name, default_value=False, evaluation_context=context)
            self._remembered[key] = known
        return known

    def schema_of(self, session_id: str, tenant: str | None = None) -> int | None:
        """The schema in which a session is to be stored; None leaves it in the one that it has.

        That is so while the file does not name the feature. When it is named and off, sessions go back.
        """
        if SESSION_SCHEMA_2 not in self._file.value:
            return None
        return 2 if self.is_on(SESSION_SCHEMA_2, session_id, tenant) else 1

    def read_again(self) -> None:
        """Reads the file if it has changed. A file that cannot be used is counted and logged, once."""
        self._file.read_again()

    async def watch(self) -> None:
        """Reads the file again whenever it has changed. Ends only by cancellation."""
        await self._file.watch()


def _read(path: Path) -> dict[str, Feature]:
    features = rules.read(path)
    for name in features.keys() - KNOWN.keys():
        logger.warning("the features file names a feature that this release does not have", **hint(name))
    return features


def hint(name: str) -> dict[str, str]:
    """A name that this release does not know, and the one that may have been meant."""
    near = difflib.get_close_matches(name, KNOWN, n=1)
    return {"feature": name, **({"did_you_mean": near[0]} if near else {})}
