"""Functions of the program that are called when something happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")

logger = logging.getLogger("synckairos.client")


class Callbacks(Generic[P]):
    """Functions for one kind of event. If one raises, the error is logged and the others are still called."""

    def __init__(self) -> None:
        self._functions: dict[object, Callable[P, object]] = {}

    def add(self, function: Callable[P, object]) -> Callable[[], None]:
        """Have a function called from now on. Returns a function that ends this."""
        key = object()
        self._functions[key] = function

        def remove() -> None:
            self._functions.pop(key, None)

        return remove

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all of them."""
        for function in list(self._functions.values()):
            try:
                function(*args, **kwargs)
            except Exception:
                logger.exception("a callback failed")
