"""What every request and every command of a socket goes through: `synckairos/chain/README.md` has the table.

The chain of each route, and of commands, is put together once, when the service starts.
"""

from __future__ import annotations

from time import perf_counter
from typing import ClassVar

from synckairos.api import gate, on_record
from synckairos.api.calls import RequestCall
from synckairos.api.inputs import named_as_given, refuse
from synckairos.api.replies import Reply
from synckairos.api.route import Route
from synckairos.chain.common import Unexpected, common
from synckairos.chain.middleware import Middleware, Order, Step, chain


class Length(Middleware):
    """Refuses a body that is announced to be too long, before anybody is asked who sends it."""

    order: ClassVar = Order.LENGTH

    async def before(self, call: RequestCall) -> None:
        """Raises PayloadTooLarge."""
        call.request.http.check_length()


class Body(Middleware):
    """Reads the body, which nobody but a caller who was let in may send.

    How long that takes is up to the client, so it is left out of the time that the request took: else a few
    clients that send slowly would look like a slow service.
    """

    order: ClassVar = Order.BODY

    async def before(self, call: RequestCall) -> None:
        """Raises ValidationError, PayloadTooLarge."""
        began = perf_counter()
        try:
            await self._read(call)
        finally:
            call.started += perf_counter() - began

    @staticmethod
    async def _read(call: RequestCall) -> None:
        http, route = call.request.http, call.route
        if route.body is None:
            await http.drop()
            return
        body = await http.body(route.largest)
        if body is None:
            refuse([{"field": "", "message": f"must be at most {route.largest} bytes"}])
        call.request.body = body


def of_route(route: Route) -> Step:
    """The chain of a route, its handler at the end. It takes a RequestCall and gives a Reply."""
    steps: list[Middleware] = [*common(), Length(), on_record.Refusals(), *admission(), Body(), Unexpected()]
    if on_record.Actions.concern(route):
        steps.append(on_record.Actions())
    if gate.Tenants.concern(route):
        steps.append(gate.Tenants())

    async def handle(call: RequestCall) -> Reply:
        with named_as_given():
            return await route.handler(call.request, **call.path)

    return chain(steps, handle)


def admission() -> tuple[Middleware, ...]:
    """What decides whether a request is let in."""
    return gate.Tokens(), gate.Limits(), gate.Bindings()


def of_commands(carry_out: Step) -> Step:
    """The chain of the commands of sockets, with what carries them out. It takes a CommandCall."""
    return chain(
        (*common(), on_record.Refusals(), gate.Tokens(), gate.Limits(), on_record.Actions(), Unexpected()),
        carry_out,
    )
