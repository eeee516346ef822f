"""The chain of middleware: the order, the way out, and what is called of whom."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, cast

import pytest

from synckairos.api import chain as api_chain
from synckairos.api.routes import ROUTES
from synckairos.api.routes.pages import PAGES
from synckairos.chain.call import Call, Kind
from synckairos.chain.common import Unexpected, common
from synckairos.chain.middleware import Middleware, Order, chain
from synckairos.errors import CircuitOpen, InternalError, SessionNotFound, SyncKairosError
from tests.support.pages import ROOT, Page, codes

PAGE = Page(ROOT / "synckairos" / "chain" / "README.md").section(
    "What every request, command and job goes through"
)


def noting(order: Order, said: list[str], **raising: Exception) -> Middleware:
    """A middleware that notes each call of it, and raises what is given for `before` or `after`."""

    async def note(what: str) -> None:
        said.append(f"{what} {order}")
        if what in raising:
            raise raising[what]

    class Noting(Middleware):
        async def before(self, call: Any) -> None:
            await note("before")

        async def after(self, call: Any, result: Any) -> None:
            await note("after")

        async def on_error(self, call: Any, error: BaseException) -> BaseException:
            said.append(f"error {order}")
            return raising.get("error", error)

    Noting.order = order
    return Noting()


def handler(said: list[str], error: BaseException | None = None) -> Any:
    async def handle(call: Any) -> Any:
        said.append("handler")
        if error is not None:
            raise error
        return f"result of {call}"

    return handle


async def test_the_way_in_is_by_the_order_and_the_way_out_is_backwards() -> None:
    said: list[str] = []
    steps = [noting(order, said) for order in (Order.METRICS, Order.BREAKER, Order.TRACING)]
    assert await chain(steps, handler(said))("a call") == "result of a call"
    assert said == ["before 0", "before 1", "before 3", "handler", "after 3", "after 1", "after 0"]


async def test_an_error_goes_out_backwards() -> None:
    said: list[str] = []
    steps = [noting(order, said) for order in (Order.BREAKER, Order.TRACING)]
    error = SessionNotFound()
    with pytest.raises(SessionNotFound) as raised:
        await chain(steps, handler(said, error))("a call")
    assert raised.value is error
    assert said == ["before 0", "before 1", "handler", "error 1", "error 0"]


async def test_only_those_whose_before_has_run_see_the_way_out() -> None:
    said: list[str] = []
    refusing = noting(Order.LOGGING, said, before=SessionNotFound())
    steps = [noting(Order.BREAKER, said), noting(Order.TRACING, said), refusing, noting(Order.METRICS, said)]
    with pytest.raises(SessionNotFound):
        await chain(steps, handler(said))("a call")
    assert said == ["before 0", "before 1", "before 2", "error 1", "error 0"]


async def test_an_error_of_after_is_an_error_to_those_further_out() -> None:
    said: list[str] = []
    steps = [noting(Order.BREAKER, said), noting(Order.TRACING, said, after=SessionNotFound())]
    with pytest.raises(SessionNotFound):
        await chain(steps, handler(said))("a call")
    assert said == ["before 0", "before 1", "handler", "after 1", "error 0"]


async def test_an_error_may_be_replaced_by_another_one() -> None:
    said: list[str] = []
    seen: list[BaseException] = []

    class Seeing(Middleware):
        order = Order.BREAKER

        async def on_error(self, call: Any, error: BaseException) -> BaseException:
            seen.append(error)
            return error

    instead = SessionNotFound()
    steps = [Seeing(), noting(Order.TRACING, said, error=instead)]
    with pytest.raises(SessionNotFound) as raised:
        await chain(steps, handler(said, ValueError("the first")))("a call")
    assert raised.value is instead
    assert seen == [instead]
    assert isinstance(instead.__cause__, ValueError)


async def test_a_cancellation_is_told_and_stays_one() -> None:
    said: list[str] = []
    begun = asyncio.Event()

    async def handle(_call: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    steps = [noting(Order.BREAKER, said), noting(Order.TRACING, said, error=SessionNotFound())]
    task = asyncio.create_task(chain(steps, handle)("a call"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["before 0", "before 1", "error 1", "error 0"]


def test_each_place_is_taken_once() -> None:
    with pytest.raises(ValueError, match="same place"):
        chain([noting(Order.TRACING, []), noting(Order.TRACING, [])], handler([]))


def test_the_numbers_are_those_that_pages_name() -> None:
    assert [Order.BREAKER, Order.TRACING, Order.LOGGING, Order.METRICS] == [0, 1, 2, 3]


class Counted(Call):
    """A call that knows how it was counted."""

    kind = Kind.JOB
    name = "job"

    def __init__(self, refusal: SyncKairosError | None = None) -> None:
        self.counted: list[object] = []
        self._refusal = refusal

    async def refuse_if_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def count(self, result: Any, error: SyncKairosError | None, /) -> None:
        self.counted.append(result if error is None else error.code)


async def test_what_is_common_to_all_calls_counts_each_of_them_once() -> None:
    said: list[str] = []
    call = Counted()
    await chain((*common(), Unexpected()), handler(said))(call)
    assert len(call.counted) == 1
    with pytest.raises(InternalError) as raised:
        await chain((*common(), Unexpected()), handler(said, KeyError("a bug")))(call)
    assert call.counted[1:] == ["INTERNAL_ERROR"]
    assert isinstance(raised.value.__cause__, KeyError)


async def test_a_call_without_what_it_needs_gets_no_further_than_the_breaker_and_is_counted() -> None:
    said: list[str] = []
    call = Counted(CircuitOpen())
    with pytest.raises(CircuitOpen):
        await chain((*common(), noting(Order.TRACING, said)), handler(said))(call)
    assert (said, call.counted) == ([], ["CIRCUIT_OPEN"])


def test_the_page_has_every_middleware_with_its_place_and_what_it_is_around(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_chain, "chain", lambda steps, _: {type(step) for step in steps})
    chains: list[Any] = [api_chain.of_route(route) for route in (*ROUTES, *PAGES)]
    requests: set[Any] = set().union(*chains)
    around = {
        "requests": requests,
        "commands": cast("Any", api_chain.of_commands(handler([]))),
        "jobs": {type(step) for step in common()},
    }
    rows = [row for row in PAGE.tables[0].rows if row["order"]]
    assert [int(row["order"]) for row in rows] == list(Order)
    named: set[Any] = set()
    for row in rows:
        if row["order"] == str(int(Order.TRACING)):
            continue  # it is there only where tracing is on
        name, place = codes(row["middleware"])
        middleware = getattr(importlib.import_module(place.removesuffix(".py").replace("/", ".")), name)
        named.add(middleware)
        assert middleware.order == int(row["order"]), name
        for column, those in around.items():
            assert (row[column] == "yes") == (middleware in those), (name, column)
    assert named == requests | set(around["jobs"])
