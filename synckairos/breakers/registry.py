"""The circuit breakers of one process, by the names of what they protect."""

from __future__ import annotations

from collections.abc import Callable

from synckairos import metrics
from synckairos.breakers.breaker import Breaker, Reconnect


class Breakers:
    """One breaker for each dependency, made when it is first asked for.

    Names are short texts: `redis 10.0.0.1:6379`, `postgresql`, `jwks`, `webhook example.com`.
    """

    def __init__(self) -> None:
        self._known: dict[str, Breaker] = {}

    def of(self, name: str, reconnect: Reconnect | None = None) -> Breaker:
        """The breaker of a dependency. The first caller says how to reconnect, if that can be told."""
        if name not in self._known:
            self._known[name] = Breaker(name, reconnect)
        return self._known[name]

    def renewed(
        self, name: str, reconnect: Reconnect, replaceable: Callable[[], bool] = lambda: False
    ) -> Breaker:
        """A new breaker for this name: what an older one knows is about a connection that is not used."""
        breaker = self._known[name] = Breaker(name, reconnect, replaceable)
        return breaker

    async def forget(self, breaker: Breaker) -> None:
        """Forget a breaker that is not used any more."""
        await breaker.aclose()
        if self._known.get(breaker.name) is breaker:
            del self._known[breaker.name]
            metrics.breaker_state.labels(breaker.name).set(0)

    async def aclose(self) -> None:
        """Forget all."""
        for breaker in list(self._known.values()):
            await self.forget(breaker)
