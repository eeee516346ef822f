"""Makes a service without tracing, the yardstick of `synckairos bench tracing`.

Python imports this by its name, before the service starts, where PYTHONPATH leads here. It takes away all
that a request pays for tracing where that is off: the looks for a span, and the traceparent of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synckairos.api import request
from synckairos.core import calls
from synckairos.core.wire import Argument


async def _call(
    self: calls.Sessions,
    function: str,
    keys: Sequence[str],
    arguments: Sequence[Argument],
    *,
    read_only: bool = False,
    options: object = None,  # noqa: ARG001 - as in the method that this stands for
) -> Any:
    return await self._call_there(function, keys, arguments, read_only=read_only)


def _trace_id(self: request.ApiRequest) -> str | None:
    traceparent = self.traceparent
    return None if traceparent is None else traceparent[3:35]


calls.Sessions._call = _call  # type: ignore[method-assign]
request.ApiRequest.trace_id = property(_trace_id)  # type: ignore[assignment,method-assign]
